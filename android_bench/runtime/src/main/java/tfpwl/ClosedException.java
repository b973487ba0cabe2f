package tfpwl;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/**
 * The model was closed; its memory was given back.
 */
public class ClosedException extends EngineException {
    private static final long serialVersionUID = 1L;

    public ClosedException(@NotNull String message) {
        super(message);
    }

    public ClosedException(@NotNull String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
