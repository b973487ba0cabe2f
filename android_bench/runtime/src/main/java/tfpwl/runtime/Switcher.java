package tfpwl.runtime;

import java.util.Collections;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.jetbrains.annotations.Nullable;
import tfpwl.ClosedException;
import tfpwl.EngineException;
import tfpwl.Mix;
import tfpwl.TfpwlException;

/**
 * Changes the mix of a model that answers meanwhile: one change at a time, cancelled by the next one.
 *
 * <p>{@link #chain} is replaced by one assignment, so that answers need no lock.
 */
final class Switcher {
    private static final Logger LOGGER = Logger.getLogger("tfpwl.runtime");

    private static final long LONGEST_ANSWER_MS = 1000;

    /** Chooses the mixes of a change from the mix of the moment. */
    interface Planner {
        List<Mix> plan(Mix start);
    }

    volatile Chain chain;
    volatile State state;
    @Nullable volatile TfpwlException lastError;
    final Listeners listeners = new Listeners();

    private final ChainLoader loader;
    private final Executor executor;
    /** Held for a few assignments, never during a load. */
    private final Object guard = new Object();
    /** Held during a load: two changes at once would need the memory of both. */
    private final ReentrantLock loading = new ReentrantLock();
    /** Only this job may commit what it loaded; putting another one here cancels it. */
    @Nullable private volatile Job job;

    Switcher(ChainLoader loader, Mix first, Executor executor) {
        this.loader = loader;
        this.executor = executor;
        this.chain = loader.build(first, null, false);
        this.state = State.atRest(first);
    }

    /** Walk through the plan on the executor, unless a job of this wish does already. */
    void start(Planner planner, String wish, boolean isUpgrade) {
        final Job next;
        synchronized (guard) {
            Job now = job;
            if (now != null && !now.ended && now.wish.equals(wish)) {
                return;
            }
            next = begin(planner, wish, isUpgrade);
        }
        try {
            executor.execute(new Runnable() {
                @Override
                public void run() {
                    Switcher.this.run(next);
                }
            });
        } catch (RejectedExecutionException exc) {
            TfpwlException error = state == State.CLOSED ? closedError() : new EngineException(
                    "The executor takes no work: " + exc.getMessage(), exc);
            fail(next, error);
            next.done.countDown();
            throw error;
        }
    }

    /** Walk through the plan in this thread; throw what made it fail. */
    void change(Planner planner, boolean isUpgrade) {
        Job next;
        synchronized (guard) {
            next = begin(planner, "", isUpgrade);
        }
        run(next);
        TfpwlException error = next.error;
        if (error != null) {
            throw error;
        }
    }

    /** Cancel the job under way and stay on the mix of the moment. */
    void stop() {
        synchronized (guard) {
            if (state == State.UPGRADING) {
                begin(new Planner() {
                    @Override
                    public List<Mix> plan(Mix now) {
                        return Collections.<Mix>emptyList();
                    }
                }, "stop", false).done.countDown();
            }
        }
        listeners.deliver();
    }

    /** Wait until no change is under way; false when the time was over first. */
    boolean await(long timeoutMs) throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(timeoutMs);
        for (Job now = job; now != null && now.done.getCount() > 0; now = job) {
            if (listeners.isTelling()) {
                // The change may be waiting for the very thread that this listener keeps.
                throw new IllegalStateException("await() was called by a listener; return first.");
            }
            if (!now.done.await(deadline - System.nanoTime(), TimeUnit.NANOSECONDS)) {
                return false;
            }
        }
        return true;
    }

    void close() {
        Chain last;
        synchronized (guard) {
            if (state == State.CLOSED) {
                return;
            }
            job = null;
            last = chain;
            chain = Chain.closed(last.mix);
            setState(State.CLOSED, null);
        }
        last.release();
        // The load under way ends first; then it finds that it may not commit and lets go of what it loaded.
        loading.lock();
        loading.unlock();
        listeners.deliver();
    }

    static ClosedException closedError() {
        return new ClosedException("This ProgressiveModel was closed; open the bundle again.");
    }

    /** With the guard held: put a new job in the place of the one that may be under way. */
    private Job begin(Planner planner, String wish, boolean isUpgrade) {
        if (state == State.CLOSED) {
            throw closedError();
        }
        Mix start = chain.mix;
        Job next = new Job(planner.plan(start), wish);
        job = next;
        lastError = null;
        setState(isUpgrade && !next.ended ? State.UPGRADING : State.atRest(start), null);
        return next;
    }

    private void setState(State next, @Nullable TfpwlException error) {
        if (next != state) {
            state = next;
            listeners.put(new Change(chain.mix, next, error));
        }
    }

    private void run(Job next) {
        next.thread = Thread.currentThread();
        try {
            listeners.deliver();
            for (Mix mix : next.mixes) {
                if (!step(next, mix)) {
                    break;
                }
            }
        } catch (TfpwlException exc) {
            fail(next, exc);
        } finally {
            settle(next);
            next.thread = null;
            next.done.countDown();
        }
    }

    /** Bring a job that an Error ended before its last mix to rest where it is. */
    private void settle(Job stopped) {
        synchronized (guard) {
            if (job == stopped && !stopped.ended) {
                stopped.ended = true;
                setState(State.atRest(chain.mix), null);
            }
        }
    }

    /** Load what {@code mix} needs and let it answer; false when the job was cancelled. */
    private boolean step(Job next, Mix mix) {
        Chain old;
        loading.lock();
        try {
            synchronized (guard) {
                if (job != next || !chain.hold()) {
                    return false;
                }
                old = chain;
            }
            try {
                Chain built = loader.build(mix, old, true);
                if (!commit(next, mix, built)) {
                    built.release();
                    return false;
                }
            } finally {
                old.release();
            }
            // Who lets go of a group last gives its memory back, which takes milliseconds: not an answer's thread.
            old.awaitAnswers(LONGEST_ANSWER_MS);
            old.release();
        } finally {
            loading.unlock();
        }
        listeners.deliver();
        return true;
    }

    private boolean commit(Job next, Mix mix, Chain built) {
        synchronized (guard) {
            if (job != next) {
                return false;
            }
            chain = built;
            if (mix.equals(next.mixes.get(next.mixes.size() - 1))) {
                next.ended = true;
                state = State.atRest(mix);
            }
            listeners.put(new Change(mix, state, null));
            return true;
        }
    }

    private void fail(Job failed, TfpwlException error) {
        Mix mix;
        synchronized (guard) {
            failed.error = error;
            failed.ended = true;
            if (job != failed) {
                return;
            }
            lastError = error;
            setState(State.FAILED, error);
            mix = chain.mix;
        }
        LOGGER.log(Level.WARNING, "The model stays on mix {0}: {1}", new Object[] {mix, error.getMessage()});
        listeners.deliver();
    }

    /** A plan of one mix. */
    static List<Mix> only(Mix mix) {
        return Collections.singletonList(mix);
    }
}
