package tfpwl.bench.app;

import android.app.Activity;
import android.content.Context;
import android.os.PowerManager;
import android.util.Log;
import android.widget.TextView;
import java.io.File;
import java.lang.reflect.InvocationTargetException;
import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;
import tfpwl.bench.Platform;

/** Lines go to logcat and onto the screen, results into the folder that adb may read. */
final class AppPlatform implements Platform {
    private static final String TAG = "tfpwl-bench";

    private final Activity activity;
    private final TextView view;

    AppPlatform(Activity activity, TextView view) {
        this.activity = activity;
        this.view = view;
    }

    @Override
    @NotNull
    public String form() {
        return "apk";
    }

    @Override
    public void say(@NotNull final String line) {
        Log.i(TAG, line);
        show(line);
    }

    @Override
    public void complain(@NotNull String line) {
        Log.e(TAG, line);
        show(line);
    }

    private void show(final String line) {
        activity.runOnUiThread(new Runnable() {
            @Override
            public void run() {
                view.append(line + "\n");
            }
        });
    }

    @Override
    @NotNull
    public File resolve(@NotNull String out) {
        File file = new File(out);
        // Null while the storage is not mounted; then writing fails and says where.
        return file.isAbsolute() ? file : new File(activity.getExternalFilesDir(null), out);
    }

    /** {@code PowerManager.getCurrentThermalStatus} of API 29. */
    @Override
    @Nullable
    public Integer thermalStatus() {
        PowerManager power = (PowerManager) activity.getSystemService(Context.POWER_SERVICE);
        try {
            return (Integer) PowerManager.class.getMethod("getCurrentThermalStatus").invoke(power);
        } catch (NoSuchMethodException exc) {
            return null;
        } catch (IllegalAccessException exc) {
            return null;
        } catch (InvocationTargetException exc) {
            return null;
        }
    }
}
