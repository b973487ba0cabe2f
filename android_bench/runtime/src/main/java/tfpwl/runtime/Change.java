package tfpwl.runtime;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;
import tfpwl.Mix;
import tfpwl.TfpwlException;

/** The mix and the state after a change; {@code error} is the reason when the state is {@link State#FAILED}. */
public final class Change {
    @NotNull public final Mix mix;
    @NotNull public final State state;
    @Nullable public final TfpwlException error;

    Change(Mix mix, State state, @Nullable TfpwlException error) {
        this.mix = mix;
        this.state = state;
        this.error = error;
    }

    /** The error's code; null where there is no error. */
    @Nullable
    public ErrorCode code() {
        return error == null ? null : ErrorCode.of(error);
    }

    @Override
    public String toString() {
        return state + " " + mix + (error == null ? "" : ": " + error.getMessage());
    }
}
