package tfpwl.runtime;

import org.jetbrains.annotations.NotNull;
import tfpwl.BundleException;
import tfpwl.ClosedException;
import tfpwl.ContractException;
import tfpwl.IntegrityException;
import tfpwl.OutOfMemoryException;
import tfpwl.TfpwlException;

/** Why a change failed, in words that are the same on every platform. */
public enum ErrorCode {
    /** A file is missing, cannot be read, or is not the one of the manifest. */
    INTEGRITY,
    /** A file does not fit the manifest. */
    CONTRACT,
    /** Anything else about the bundle. */
    BUNDLE,
    OUT_OF_MEMORY,
    CLOSED,
    /** The engine refuses a file, or fails. */
    ENGINE;

    /** The code of an error. */
    @NotNull
    public static ErrorCode of(@NotNull TfpwlException error) {
        if (error instanceof IntegrityException) {
            return INTEGRITY;
        }
        if (error instanceof ContractException) {
            return CONTRACT;
        }
        if (error instanceof BundleException) {
            return BUNDLE;
        }
        if (error instanceof OutOfMemoryException) {
            return OUT_OF_MEMORY;
        }
        return error instanceof ClosedException ? CLOSED : ENGINE;
    }
}
