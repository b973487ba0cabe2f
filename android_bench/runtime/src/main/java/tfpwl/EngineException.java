package tfpwl;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/**
 * An engine could not load or run a file whose checksum was right.
 */
public class EngineException extends TfpwlException {
    private static final long serialVersionUID = 1L;

    public EngineException(@NotNull String message) {
        super(message);
    }

    public EngineException(@NotNull String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
