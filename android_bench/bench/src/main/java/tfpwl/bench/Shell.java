package tfpwl.bench;

import java.io.File;
import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/** A process started from a shell: {@code app_process} on a device, {@code java} on a desktop. */
final class Shell implements Platform {
    @Override
    @NotNull
    public String form() {
        return Device.isAndroid() ? "app_process" : "jvm";
    }

    @Override
    public void say(@NotNull String line) {
        System.out.println(line);
        // Whoever reads through adb sees the line now, and not only at the end.
        System.out.flush();
    }

    @Override
    public void complain(@NotNull String line) {
        System.err.println(line);
        System.err.flush();
    }

    @Override
    @NotNull
    public File resolve(@NotNull String out) {
        return new File(out).getAbsoluteFile();
    }

    @Override
    @Nullable
    public Integer thermalStatus() {
        return null;
    }
}
