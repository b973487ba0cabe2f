package tfpwl.runtime;

import java.nio.ByteBuffer;
import java.util.Arrays;
import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;
import org.tensorflow.lite.DataType;
import org.tensorflow.lite.Delegate;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.Tensor;
import tfpwl.EngineException;
import tfpwl.bundle.TensorSpec;

/** One file in one interpreter. An interpreter serves one thread at a time, so a lock guards each run. */
final class InterpreterGroup implements LoadedGroup {
    private final TensorSpec input;
    private final TensorSpec output;
    @Nullable private final Delegate delegate;
    /** Null once closed; guarded by this object. */
    @Nullable private Interpreter interpreter;

    /** Takes the delegate over, unless it throws. */
    InterpreterGroup(ByteBuffer model, int threads, @Nullable Delegate delegate) {
        Interpreter loaded = null;
        boolean good = false;
        try {
            Interpreter.Options options = new Interpreter.Options();
            options.setNumThreads(threads);
            if (delegate == null) {
                options.setUseXNNPACK(true);
            } else {
                options.addDelegate(delegate);
            }
            loaded = new Interpreter(model, options);
            if (loaded.getInputTensorCount() != 1 || loaded.getOutputTensorCount() != 1) {
                throw new EngineException("The file has " + loaded.getInputTensorCount() + " inputs and "
                        + loaded.getOutputTensorCount() + " outputs; a group has one of each.");
            }
            input = spec("input", loaded.getInputTensor(0));
            output = spec("output", loaded.getOutputTensor(0));
            good = true;
        } catch (EngineException exc) {
            throw exc;
        } catch (LinkageError exc) {
            throw refused(model, exc);
        } catch (RuntimeException exc) {
            throw refused(model, exc);
        } finally {
            if (!good && loaded != null) {
                loaded.close();
            }
        }
        this.interpreter = loaded;
        this.delegate = delegate;
    }

    private static EngineException refused(ByteBuffer model, Throwable exc) {
        return new EngineException("The TFLite interpreter cannot load the file (" + model.capacity() + " bytes): "
                + exc.getMessage(), exc);
    }

    private static TensorSpec spec(String end, Tensor tensor) {
        int[] free = tensor.shapeSignature();
        for (int axis : free) {
            if (axis < 1) {
                throw new EngineException("The " + end + " has the free shape " + Arrays.toString(free)
                        + "; every axis must be fixed.");
            }
        }
        Tensor.QuantizationParams quantization = tensor.quantizationParams();
        String dtype = dtype(end, tensor.dataType());
        if (quantization.getScale() == 0) {
            return new TensorSpec(tensor.shape(), dtype);
        }
        return new TensorSpec(tensor.shape(), dtype, (double) quantization.getScale(), quantization.getZeroPoint());
    }

    private static String dtype(String end, DataType type) {
        switch (type) {
            case FLOAT32:
                return "float32";
            case UINT8:
                return "uint8";
            case INT8:
                return "int8";
            case INT16:
                return "int16";
            default:
                throw new EngineException("The " + end + " has the type " + type
                        + "; expected FLOAT32, UINT8, INT8 or INT16.");
        }
    }

    @Override
    @NotNull
    public TensorSpec input() {
        return input;
    }

    @Override
    @NotNull
    public TensorSpec output() {
        return output;
    }

    @Override
    @NotNull
    public Binding bind(@NotNull final ByteBuffer from, @NotNull final ByteBuffer into) {
        return new Binding() {
            @Override
            public void run() {
                InterpreterGroup.this.run(from, into);
            }

            @Override
            public void close() {
                // Buffers need no closing.
            }
        };
    }

    private synchronized void run(ByteBuffer from, ByteBuffer into) {
        Interpreter open = interpreter;
        if (open == null) {
            throw new EngineException("The group was closed; load its file again.");
        }
        try {
            from.rewind();
            into.rewind();
            open.run(from, into);
        } catch (RuntimeException exc) {
            throw new EngineException("The TFLite interpreter cannot run the group: " + exc.getMessage(), exc);
        }
    }

    @Override
    public synchronized void close() {
        Interpreter open = interpreter;
        interpreter = null;
        if (open != null) {
            open.close();
            // After the interpreter, which uses it until then.
            GpuDelegates.close(delegate);
        }
    }
}
