package tfpwl;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/**
 * Root of all errors that the library raises on purpose; the tree is that of Python's {@code tfpwl.errors}.
 *
 * <p>A message says what was received, what was expected and how to put it right. What the caller did wrong with an
 * argument is an {@link IllegalArgumentException} instead.
 */
public class TfpwlException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public TfpwlException(@NotNull String message) {
        super(message);
    }

    public TfpwlException(@NotNull String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
