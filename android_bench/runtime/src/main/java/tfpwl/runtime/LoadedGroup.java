package tfpwl.runtime;

import java.nio.ByteBuffer;
import org.jetbrains.annotations.NotNull;
import tfpwl.bundle.TensorSpec;

/** A file, loaded and ready to run. */
public interface LoadedGroup {
    @NotNull
    TensorSpec input();

    @NotNull
    TensorSpec output();

    /**
     * Tie the group to memory that it reads and writes in every run.
     *
     * @param input of the engine's {@link Engine#allocate}, from its beginning, exactly as long as the input
     * @param output likewise, for the output
     */
    @NotNull
    Binding bind(@NotNull ByteBuffer input, @NotNull ByteBuffer output);

    /** Give the memory back; called once, when no answer uses the group any more and its bindings are closed. */
    void close();

    /** A group tied to memory. Bindings of one group may run in several threads; the group takes them in turn. */
    interface Binding {
        /**
         * Compute the output from the input.
         *
         * @throws tfpwl.EngineException when the engine fails
         */
        void run();

        void close();
    }
}
