package tfpwl.runtime;

import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.jetbrains.annotations.Nullable;
import tfpwl.Mix;
import tfpwl.TfpwlException;

/** One change: the mixes to walk through, and how it ended. */
final class Job {
    final List<Mix> mixes;
    /** What was asked for; an upgrade that is asked for twice is one job. */
    final String wish;
    /** Told its listeners, too; before that, {@link #ended} says that it will change nothing more. */
    final CountDownLatch done = new CountDownLatch(1);
    volatile boolean ended;
    @Nullable volatile TfpwlException error;
    @Nullable volatile Thread thread;

    Job(List<Mix> mixes, String wish) {
        this.mixes = mixes;
        this.wish = wish;
        this.ended = mixes.isEmpty();
    }
}
