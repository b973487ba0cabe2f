package tfpwl.host;

import com.sun.jna.Memory;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.IntByReference;
import com.sun.jna.ptr.LongByReference;
import com.sun.jna.ptr.PointerByReference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import tfpwl.EngineException;
import tfpwl.bundle.TensorSpec;
import tfpwl.runtime.Engine;
import tfpwl.runtime.LoadedGroup;

/** LiteRT's CompiledModel on the JVM, with real files and real kernels, for tests and benchmarks on a desktop. */
public final class LiteRtHostEngine implements Engine {
    private static final String[] DTYPES = {null, "float32", null, "uint8", null, null, null, "int16", null, "int8"};
    private static final int ALIGNMENT = 64;
    private static Pointer environment;

    private final String level;

    /**
     * @param library path of libLiteRt.so
     * @param level the TFLite version that it stands for
     */
    public LiteRtHostEngine(String library, String level) {
        this.level = level;
        synchronized (LiteRtHostEngine.class) {
            if (environment == null) {
                LiteRt.load(library);
                environment = LiteRt.environment();
            }
        }
    }

    @Override
    public String name() {
        return "litert";
    }

    @Override
    public String tfliteLevel() {
        return level;
    }

    @Override
    public ByteBuffer allocate(int bytes) {
        // XNNPACK may read a little past the end.
        Memory memory = new Memory(bytes + 2L * ALIGNMENT);
        memory.clear();
        // The buffer keeps the memory alive.
        return memory.align(ALIGNMENT).getByteBuffer(0, bytes).order(ByteOrder.nativeOrder());
    }

    @Override
    public LoadedGroup load(ByteBuffer model, int threads) {
        return new Group(model);
    }

    private static final class Group implements LoadedGroup {
        private final Pointer model;
        private final Pointer compiled;
        /** LiteRT reads weights from here for as long as the model lives. */
        private final ByteBuffer content;
        private final Memory inputType = new Memory(LiteRt.RANKED_TENSOR_TYPE_BYTES);
        private final Memory outputType = new Memory(LiteRt.RANKED_TENSOR_TYPE_BYTES);
        private final TensorSpec input;
        private final TensorSpec output;
        private boolean open = true;

        Group(ByteBuffer model) {
            // Weights are read in place and stand at multiples of 16.
            boolean aligned = Pointer.nativeValue(Native.getDirectBufferPointer(model)) % 16 == 0;
            content = aligned ? model : copy(model);
            PointerByReference out = new PointerByReference();
            LiteRt.check("LiteRtCreateModelFromBuffer", LiteRt.LiteRtCreateModelFromBuffer(environment,
                    Native.getDirectBufferPointer(content), content.capacity(), out));
            this.model = out.getValue();
            boolean good = false;
            try {
                Pointer signature = signature();
                LiteRt.check("input", LiteRt.LiteRtGetSignatureInputTensorByIndex(signature, 0, out));
                input = spec(out.getValue(), inputType);
                LiteRt.check("output", LiteRt.LiteRtGetSignatureOutputTensorByIndex(signature, 0, out));
                output = spec(out.getValue(), outputType);
                compiled = compile();
                good = true;
            } finally {
                if (!good) {
                    LiteRt.LiteRtDestroyModel(this.model);
                }
            }
        }

        private static ByteBuffer copy(ByteBuffer model) {
            Memory memory = new Memory(model.capacity() + 2L * ALIGNMENT);
            ByteBuffer copy = memory.align(ALIGNMENT).getByteBuffer(0, model.capacity());
            copy.put(model.duplicate());
            copy.rewind();
            return copy;
        }

        private Pointer signature() {
            LongByReference count = new LongByReference();
            LiteRt.check("signatures", LiteRt.LiteRtGetNumModelSignatures(model, count));
            PointerByReference out = new PointerByReference();
            LiteRt.check("signature", LiteRt.LiteRtGetModelSignature(model, 0, out));
            LongByReference inputs = new LongByReference();
            LongByReference outputs = new LongByReference();
            LiteRt.check("inputs", LiteRt.LiteRtGetNumSignatureInputs(out.getValue(), inputs));
            LiteRt.check("outputs", LiteRt.LiteRtGetNumSignatureOutputs(out.getValue(), outputs));
            if (count.getValue() != 1 || inputs.getValue() != 1 || outputs.getValue() != 1) {
                throw new EngineException("The file has " + count.getValue() + " signatures, " + inputs.getValue()
                        + " inputs and " + outputs.getValue() + " outputs; a group has one of each.");
            }
            return out.getValue();
        }

        private static TensorSpec spec(Pointer tensor, Memory type) {
            LiteRt.check("type", LiteRt.LiteRtGetRankedTensorType(tensor, type));
            int[] shape = type.getIntArray(8, type.getInt(4) & 0x7f);
            String dtype = DTYPES[type.getInt(0)];
            IntByReference kind = new IntByReference();
            LiteRt.check("quantization", LiteRt.LiteRtGetQuantizationTypeId(tensor, kind));
            if (kind.getValue() == 0) {
                return new TensorSpec(shape, dtype);
            }
            Memory quantization = new Memory(16);
            LiteRt.check("quantization", LiteRt.LiteRtGetPerTensorQuantization(tensor, quantization));
            return new TensorSpec(shape, dtype, (double) quantization.getFloat(0), (int) quantization.getLong(8));
        }

        private Pointer compile() {
            PointerByReference options = new PointerByReference();
            LiteRt.check("LiteRtCreateOptions", LiteRt.LiteRtCreateOptions(options));
            try {
                LiteRt.check("accelerators",
                        LiteRt.LiteRtSetOptionsHardwareAccelerators(options.getValue(), LiteRt.CPU));
                PointerByReference out = new PointerByReference();
                LiteRt.check("LiteRtCreateCompiledModel", LiteRt.LiteRtCreateCompiledModel(environment, model,
                        options.getValue(), out));
                return out.getValue();
            } finally {
                LiteRt.LiteRtDestroyOptions(options.getValue());
            }
        }

        @Override
        public TensorSpec input() {
            return input;
        }

        @Override
        public TensorSpec output() {
            return output;
        }

        @Override
        public Binding bind(ByteBuffer from, ByteBuffer into) {
            return new HostBinding(this, from, into);
        }

        @Override
        public synchronized void close() {
            if (!open) {
                throw new IllegalStateException("closed twice");
            }
            open = false;
            LiteRt.LiteRtDestroyCompiledModel(compiled);
            LiteRt.LiteRtDestroyModel(model);
        }
    }

    private static final class HostBinding implements LoadedGroup.Binding {
        private final Group group;
        private final ByteBuffer from;
        private final ByteBuffer into;
        private final Memory handles = new Memory(16);

        HostBinding(Group group, ByteBuffer from, ByteBuffer into) {
            this.group = group;
            this.from = from;
            this.into = into;
            handles.setPointer(0, buffer(group.inputType, from));
            handles.setPointer(8, buffer(group.outputType, into));
        }

        private static Pointer buffer(Memory type, ByteBuffer memory) {
            PointerByReference out = new PointerByReference();
            LiteRt.check("LiteRtCreateTensorBufferFromHostMemory", LiteRt.LiteRtCreateTensorBufferFromHostMemory(
                    type, Native.getDirectBufferPointer(memory), memory.capacity(), null, out));
            return out.getValue();
        }

        @Override
        public void run() {
            synchronized (group) {
                if (!group.open) {
                    throw new EngineException("The group was closed; load its file again.");
                }
                LiteRt.check("LiteRtRunCompiledModel",
                        LiteRt.LiteRtRunCompiledModel(group.compiled, 0, 1, handles, 1, handles.share(8)));
            }
        }

        @Override
        public void close() {
            LiteRt.LiteRtDestroyTensorBuffer(handles.getPointer(0));
            LiteRt.LiteRtDestroyTensorBuffer(handles.getPointer(8));
        }
    }
}
