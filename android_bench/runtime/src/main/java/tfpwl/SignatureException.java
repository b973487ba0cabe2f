package tfpwl;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/**
 * The signature over {@code manifest.json} is missing or wrong, or the key for it cannot be used.
 */
public class SignatureException extends BundleException {
    private static final long serialVersionUID = 1L;

    public SignatureException(@NotNull String message) {
        super(message);
    }

    public SignatureException(@NotNull String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
