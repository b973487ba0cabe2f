package tfpwl.host;

import com.sun.jna.Memory;
import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.IntByReference;
import com.sun.jna.ptr.LongByReference;
import com.sun.jna.ptr.PointerByReference;
import tfpwl.EngineException;

/**
 * The LiteRT C API of {@code libLiteRt.so} from Python's {@code ai-edge-litert} through JNA: the same calls as
 * {@code tfpwl/runtime/litert.py}, and with it the same numbers.
 */
final class LiteRt {
    static final int CPU = 1;
    static final int RANKED_TENSOR_TYPE_BYTES = 72;

    private LiteRt() {
    }

    static void load(String path) {
        Native.register(LiteRt.class, NativeLibrary.getInstance(path));
    }

    static native int LiteRtCreateEnvironment(int count, Pointer options, PointerByReference out);

    static native int LiteRtCreateModelFromBuffer(Pointer environment, Pointer data, long size,
            PointerByReference out);

    static native void LiteRtDestroyModel(Pointer model);

    static native int LiteRtGetNumModelSignatures(Pointer model, LongByReference out);

    static native int LiteRtGetModelSignature(Pointer model, long index, PointerByReference out);

    static native int LiteRtGetNumSignatureInputs(Pointer signature, LongByReference out);

    static native int LiteRtGetNumSignatureOutputs(Pointer signature, LongByReference out);

    static native int LiteRtGetSignatureInputTensorByIndex(Pointer signature, long index, PointerByReference out);

    static native int LiteRtGetSignatureOutputTensorByIndex(Pointer signature, long index, PointerByReference out);

    static native int LiteRtGetRankedTensorType(Pointer tensor, Pointer out);

    static native int LiteRtGetQuantizationTypeId(Pointer tensor, IntByReference out);

    static native int LiteRtGetPerTensorQuantization(Pointer tensor, Pointer out);

    static native int LiteRtCreateOptions(PointerByReference out);

    static native void LiteRtDestroyOptions(Pointer options);

    static native int LiteRtSetOptionsHardwareAccelerators(Pointer options, int accelerators);

    static native int LiteRtCreateCompiledModel(Pointer environment, Pointer model, Pointer options,
            PointerByReference out);

    static native void LiteRtDestroyCompiledModel(Pointer compiled);

    static native int LiteRtCreateTensorBufferFromHostMemory(Pointer type, Pointer memory, long size,
            Pointer deallocator, PointerByReference out);

    static native void LiteRtDestroyTensorBuffer(Pointer buffer);

    static native int LiteRtRunCompiledModel(Pointer compiled, long signature, long numInputs, Pointer inputs,
            long numOutputs, Pointer outputs);

    static void check(String call, int status) {
        if (status != 0) {
            throw new EngineException(call + ": LiteRT status " + status);
        }
    }

    /** CPU alone and errors only, as the Python binding asks for. */
    static Pointer environment() {
        // Two LiteRtEnvOption: int tag, then LiteRtAny {int type, int64 value}, 24 bytes each.
        Memory options = new Memory(48);
        options.clear();
        options.setInt(0, 24);
        options.setInt(8, 2);
        options.setLong(16, CPU);
        options.setInt(24, 25);
        options.setInt(32, 2);
        options.setLong(40, 2);
        PointerByReference out = new PointerByReference();
        check("LiteRtCreateEnvironment", LiteRtCreateEnvironment(2, options, out));
        return out.getValue();
    }
}
