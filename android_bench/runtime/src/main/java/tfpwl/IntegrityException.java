package tfpwl;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/**
 * A file of a bundle is missing, has another size or another SHA-256 than the manifest says.
 */
public class IntegrityException extends BundleException {
    private static final long serialVersionUID = 1L;

    public IntegrityException(@NotNull String message) {
        super(message);
    }

    public IntegrityException(@NotNull String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
