package tfpwl.bench;

import java.io.File;
import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/** What differs between a shell, an app and a desktop. */
public interface Platform {
    /** {@code app_process}, {@code apk} or {@code jvm}. */
    @NotNull
    String form();

    /** Show a line at once. */
    void say(@NotNull String line);

    /** Show a line that tells of an error. */
    void complain(@NotNull String line);

    /** Where a result of this name goes. */
    @NotNull
    File resolve(@NotNull String out);

    /** Android's thermal status, 0 (none) to 6 (shutdown); null where nobody says. */
    @Nullable
    Integer thermalStatus();
}
