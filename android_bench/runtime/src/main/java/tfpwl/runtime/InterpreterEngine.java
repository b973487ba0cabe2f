package tfpwl.runtime;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.concurrent.Callable;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.jetbrains.annotations.NotNull;
import org.tensorflow.lite.Delegate;
import org.tensorflow.lite.TensorFlowLite;
import tfpwl.EngineException;
import tfpwl.OutOfMemoryException;

/** TensorFlow Lite's {@code Interpreter}, on the CPU with XNNPACK or, where asked for, on the GPU. */
public final class InterpreterEngine implements Engine {
    private static final Logger LOGGER = Logger.getLogger("tfpwl.runtime");

    /** Whether files run on the GPU. Its numbers differ from the CPU's in the last digits. */
    public enum Gpu {
        NEVER,
        /**
         * Where the app has {@code tensorflow-lite-gpu}, the device's driver takes the file and answers as the CPU
         * does; else the CPU.
         */
        IF_PRESENT,
        /** A file that the GPU does not take, or answers otherwise than the CPU, fails to load. */
        ALWAYS
    }

    private final Gpu gpu;

    /** On the CPU. */
    public InterpreterEngine() {
        this(Gpu.NEVER);
    }

    public InterpreterEngine(@NotNull Gpu gpu) {
        this.gpu = gpu;
    }

    @Override
    @NotNull
    public String name() {
        return gpu == Gpu.NEVER ? "interpreter" : "interpreter with GPU";
    }

    /**
     * What the app's TFLite library says of itself.
     *
     * @throws EngineException when the app has none, or none for this device's ABI
     */
    @Override
    @NotNull
    public String tfliteLevel() {
        try {
            return TfliteLevel.of(TensorFlowLite.runtimeVersion());
        } catch (LinkageError exc) {
            throw noLibrary(exc);
        } catch (RuntimeException exc) {
            throw noLibrary(exc);
        }
    }

    private static EngineException noLibrary(Throwable exc) {
        return new EngineException("The app has no TensorFlow Lite for this device (" + exc + "). Add "
                + "org.tensorflow:tensorflow-lite:2.16.1 to its dependencies, and its ABI to abiFilters.", exc);
    }

    @Override
    @NotNull
    public LoadedGroup load(@NotNull final ByteBuffer model, final int threads) {
        if (gpu != Gpu.NEVER) {
            try {
                return loadOnGpu(model, threads);
            } catch (EngineException exc) {
                if (gpu == Gpu.ALWAYS) {
                    if (exc instanceof OutOfMemoryException) {
                        throw exc;
                    }
                    throw new EngineException(exc.getMessage()
                            + " (The file has to run on the GPU; Gpu.IF_PRESENT takes the CPU instead.)", exc);
                }
                LOGGER.log(Level.INFO, "The CPU takes the place of the GPU: {0}", exc.getMessage());
            }
        }
        return new InterpreterGroup(model, threads, null);
    }

    /** The file on the GPU, after it has answered as on the CPU. */
    private LoadedGroup loadOnGpu(final ByteBuffer model, final int threads) {
        // OpenGL's delegate runs only in the thread that made it; answers come from any.
        LoadedGroup onGpu = new ThreadBoundGroup(new Callable<LoadedGroup>() {
            @Override
            public LoadedGroup call() {
                return loadWithDelegate(model, threads);
            }
        });
        boolean good = false;
        try {
            LoadedGroup onCpu = new InterpreterGroup(model, threads, null);
            try {
                SameAnswers.check(this, onGpu, onCpu);
            } finally {
                onCpu.close();
            }
            good = true;
        } finally {
            if (!good) {
                onGpu.close();
            }
        }
        return onGpu;
    }

    private static LoadedGroup loadWithDelegate(ByteBuffer model, int threads) {
        Delegate delegate = GpuDelegates.make();
        LoadedGroup group = null;
        try {
            group = new InterpreterGroup(model, threads, delegate);
            return group;
        } finally {
            if (group == null) {
                GpuDelegates.close(delegate);
            }
        }
    }

    @Override
    @NotNull
    public ByteBuffer allocate(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }
}
