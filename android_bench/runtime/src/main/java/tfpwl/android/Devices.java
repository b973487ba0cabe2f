package tfpwl.android;

import android.app.ActivityManager;
import android.content.Context;
import android.os.Build;
import android.os.StatFs;
import java.io.File;
import java.util.Arrays;
import org.jetbrains.annotations.NotNull;
import tfpwl.runtime.DeviceFacts;

/** What this device is, asked of Android. */
public final class Devices {
    private static final int ANDROID_12 = 31;

    private Devices() {
    }

    /**
     * The facts that the choice of a tier depends on: {@code TierChoice.select(tiers, Devices.facts(context, filesDir))}.
     *
     * @param folder where bundles lie, or will lie; its free storage counts
     */
    @NotNull
    public static DeviceFacts facts(@NotNull Context context, @NotNull File folder) {
        ActivityManager manager = (ActivityManager) context.getSystemService(Context.ACTIVITY_SERVICE);
        ActivityManager.MemoryInfo memory = new ActivityManager.MemoryInfo();
        manager.getMemoryInfo(memory);
        return facts(memory.totalMem, manager.isLowRamDevice(), Build.SUPPORTED_ABIS,
                new StatFs(folder.getPath()).getAvailableBytes(), performanceClass(Build.VERSION.SDK_INT));
    }

    static DeviceFacts facts(long ramBytes, boolean lowRam, String[] abis, long freeBytes, int performanceClass) {
        return new DeviceFacts(ramBytes, Runtime.getRuntime().availableProcessors(), Arrays.asList(abis), freeBytes,
                lowRam, performanceClass);
    }

    /** The media performance class; 0 for a device without one, and below Android 12, which has no such field. */
    static int performanceClass(int apiLevel) {
        return apiLevel < ANDROID_12 ? 0 : intField(Build.VERSION.class, "MEDIA_PERFORMANCE_CLASS");
    }

    /** By reflection, because the library is compiled against API 24; 0 where a system lacks the field. */
    static int intField(Class<?> owner, String name) {
        try {
            return owner.getField(name).getInt(null);
        } catch (NoSuchFieldException exc) {
            return 0;
        } catch (IllegalAccessException exc) {
            return 0;
        }
    }
}
