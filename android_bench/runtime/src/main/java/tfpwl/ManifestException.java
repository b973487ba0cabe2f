package tfpwl;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/**
 * {@code manifest.json} is missing, unreadable, too large or breaks its schema.
 */
public class ManifestException extends BundleException {
    private static final long serialVersionUID = 1L;

    public ManifestException(@NotNull String message) {
        super(message);
    }

    public ManifestException(@NotNull String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
