package tfpwl;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/**
 * A file of a bundle breaks a contract of the format: shape, dtype, boundary.
 */
public class ContractException extends BundleException {
    private static final long serialVersionUID = 1L;

    public ContractException(@NotNull String message) {
        super(message);
    }

    public ContractException(@NotNull String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
