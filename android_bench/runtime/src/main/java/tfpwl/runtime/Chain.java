package tfpwl.runtime;

import java.util.ArrayDeque;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import tfpwl.Mix;

/**
 * A mix and its loaded files in running order; never changed, only replaced.
 *
 * <p>Who runs it holds it meanwhile, so that no group is closed under an answer: the owner holds it from the beginning,
 * each answer while it runs. When all have let go, lanes are closed and steps released, by whoever was the last.
 *
 * <p>A thread that answers takes a lane for the time of its answer; groups run one thread at a time. So several threads
 * are in different groups of the chain at once, and each finds its own numbers.
 */
final class Chain {
    final Mix mix;
    final List<Step> steps;
    private final Engine engine;
    private final AtomicInteger holders = new AtomicInteger(1);
    private final Deque<Lane> idle = new ArrayDeque<Lane>();
    private int lanesToMake;

    /** Takes over one hold on each step. Makes the first lane: an answer should not wait for its memory. */
    Chain(Mix mix, List<Step> steps, Engine engine) {
        this.mix = mix;
        this.steps = steps;
        this.engine = engine;
        // More lanes than groups would only wait for one another.
        this.lanesToMake = steps.size() - 1;
        this.idle.add(new Lane(engine, steps));
    }

    private Chain(Mix mix) {
        this.mix = mix;
        this.steps = Collections.<Step>emptyList();
        this.engine = null;
        this.holders.set(0);
    }

    /** The chain of a closed model: it remembers the last mix and nobody can hold it. */
    static Chain closed(Mix mix) {
        return new Chain(mix);
    }

    boolean isClosed() {
        return engine == null;
    }

    /** Bytes of the files that are loaded. */
    long residentBytes() {
        long bytes = 0;
        for (Step step : steps) {
            bytes += step.entry.bytes;
        }
        return bytes;
    }

    /** False when it was replaced and given back already. */
    boolean hold() {
        int count = holders.get();
        while (count > 0) {
            if (holders.compareAndSet(count, count + 1)) {
                return true;
            }
            count = holders.get();
        }
        return false;
    }

    /** Wait until nobody but the owner holds the chain, or the time is over. */
    void awaitAnswers(long milliseconds) {
        long deadline = System.nanoTime() + milliseconds * 1000000L;
        while (holders.get() > 1 && System.nanoTime() - deadline < 0) {
            try {
                Thread.sleep(1);
            } catch (InterruptedException exc) {
                Thread.currentThread().interrupt();
                return;
            }
        }
    }

    void release() {
        if (holders.decrementAndGet() == 0) {
            for (Lane lane : idle) {
                lane.close();
            }
            for (Step step : steps) {
                step.release();
            }
        }
    }

    /** A lane, which its taker gives back with {@link #give}. */
    Lane take() {
        boolean interrupted = false;
        synchronized (idle) {
            while (idle.isEmpty() && lanesToMake == 0) {
                try {
                    idle.wait();
                } catch (InterruptedException exc) {
                    // An answer of other threads takes milliseconds; whoever interrupted finds the flag set later.
                    interrupted = true;
                }
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
            if (!idle.isEmpty()) {
                return idle.pop();
            }
            Lane lane = new Lane(engine, steps);
            lanesToMake--;
            return lane;
        }
    }

    void give(Lane lane) {
        synchronized (idle) {
            idle.push(lane);
            idle.notify();
        }
    }
}
