package tfpwl.runtime;

import java.util.ArrayDeque;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.jetbrains.annotations.Nullable;

/** Tells of changes one at a time and in the order of the changes, whatever thread made them. */
final class Listeners {
    private static final Logger LOGGER = Logger.getLogger("tfpwl.runtime");

    private final List<ChangeListener> all = new CopyOnWriteArrayList<ChangeListener>();
    private final Queue<Change> changes = new ArrayDeque<Change>();
    private boolean delivering;
    @Nullable private volatile Thread teller;

    void add(ChangeListener listener) {
        all.add(listener);
    }

    void remove(ChangeListener listener) {
        all.remove(listener);
    }

    /** Note a change, without calling anybody: callers hold locks here. */
    synchronized void put(Change change) {
        changes.add(change);
    }

    /**
     * Tell what was noted, unless a thread is telling already; that one goes on until nothing is left. A listener that
     * changes the mix itself is therefore called again after it returned, not from within.
     */
    void deliver() {
        synchronized (this) {
            if (delivering) {
                return;
            }
            delivering = true;
        }
        boolean whole = false;
        try {
            for (Change change = next(); change != null; change = next()) {
                tell(change);
            }
            whole = true;
        } finally {
            if (!whole) {
                stopDelivering();
            }
        }
    }

    /** Whether this thread is in a listener. */
    boolean isTelling() {
        return teller == Thread.currentThread();
    }

    private void tell(Change change) {
        teller = Thread.currentThread();
        for (ChangeListener listener : all) {
            try {
                listener.onChange(change);
            } catch (Exception exc) {
                // The app's code, and Kotlin's throws checked ones undeclared: its mistake must neither end the upgrade
                // nor get lost.
                LOGGER.log(Level.WARNING, "A listener failed for " + change, exc);
            }
        }
        teller = null;
    }

    private synchronized void stopDelivering() {
        delivering = false;
        teller = null;
    }

    private synchronized Change next() {
        if (changes.isEmpty()) {
            // With the lock held: a change noted later finds nobody telling and is told by its own thread.
            delivering = false;
        }
        return changes.poll();
    }
}
