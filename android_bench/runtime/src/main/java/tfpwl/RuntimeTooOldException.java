package tfpwl;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/**
 * The TFLite runtime is older than the bundle's {@code requires.tflite_runtime}.
 */
public class RuntimeTooOldException extends BundleException {
    private static final long serialVersionUID = 1L;

    public RuntimeTooOldException(@NotNull String message) {
        super(message);
    }

    public RuntimeTooOldException(@NotNull String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
