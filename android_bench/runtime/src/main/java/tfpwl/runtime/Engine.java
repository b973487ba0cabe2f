package tfpwl.runtime;

import java.nio.ByteBuffer;
import org.jetbrains.annotations.NotNull;

/** Loads files; what runs them stands behind this interface, so that engines can take each other's place. */
public interface Engine {
    /** For messages. */
    @NotNull
    String name();

    /** The newest TFLite version, in TensorFlow's numbering, whose files the engine surely runs. */
    @NotNull
    String tfliteLevel();

    /**
     * Load a file whose checksum was checked before.
     *
     * @param model direct or mapped, in native order; may be kept for as long as the group
     * @throws tfpwl.EngineException when the engine cannot run the file
     */
    @NotNull
    LoadedGroup load(@NotNull ByteBuffer model, int threads);

    /** Zeroed memory for a tensor of this many bytes, in native order, that groups of this engine read and write. */
    @NotNull
    ByteBuffer allocate(int bytes);
}
