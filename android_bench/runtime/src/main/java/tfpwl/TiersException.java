package tfpwl;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/**
 * {@code tiers.json} is missing, unreadable, too large, breaks its schema, or names another bundle than is there.
 */
public class TiersException extends BundleException {
    private static final long serialVersionUID = 1L;

    public TiersException(@NotNull String message) {
        super(message);
    }

    public TiersException(@NotNull String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
