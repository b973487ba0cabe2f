package tfpwl;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/**
 * No tier fits the device, not even the fallback; the message has a reason for each.
 */
public class NoTierException extends BundleException {
    private static final long serialVersionUID = 1L;

    public NoTierException(@NotNull String message) {
        super(message);
    }

    public NoTierException(@NotNull String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
