package tfpwl;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/**
 * There is not enough memory to load a file.
 */
public class OutOfMemoryException extends EngineException {
    private static final long serialVersionUID = 1L;

    public OutOfMemoryException(@NotNull String message) {
        super(message);
    }

    public OutOfMemoryException(@NotNull String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
