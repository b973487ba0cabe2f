package tfpwl;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/**
 * A bundle cannot be used; subclasses say why.
 */
public class BundleException extends TfpwlException {
    private static final long serialVersionUID = 1L;

    public BundleException(@NotNull String message) {
        super(message);
    }

    public BundleException(@NotNull String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
