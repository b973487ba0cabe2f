package tfpwl.runtime;

import org.jetbrains.annotations.NotNull;

/** Is told of every new mix and state. */
public interface ChangeListener {
    /**
     * Called after a change, one at a time and in the order of the changes, in the thread that changes the mix; so it
     * should be short, and hand over to the main thread what touches views. It may use the model, but not wait for a
     * change. What it throws is logged, not passed on.
     */
    void onChange(@NotNull Change change);
}
