package tfpwl.bench;

import java.io.File;
import java.util.Iterator;
import java.util.ServiceLoader;
import tfpwl.EngineException;
import tfpwl.runtime.Engine;
import tfpwl.runtime.InterpreterEngine;

/** What runs the files: TFLite's interpreter, unless the class path has a provider of another engine. */
final class Engines {
    private static final String GPU_LIBRARY = "libtensorflowlite_gpu_jni.so";

    private Engines() {
    }

    /**
     * @throws EngineException a library is not there, or not for this process's ABI
     * @throws UsageException the GPU is asked for where there is only a desktop's engine
     */
    static Engine make(Arguments arguments) {
        Iterator<EngineProvider> providers =
                ServiceLoader.load(EngineProvider.class, Engines.class.getClassLoader()).iterator();
        if (providers.hasNext()) {
            Engine engine = providers.next().make();
            if (arguments.gpu) {
                throw new UsageException("Received --delegate gpu; the engine " + engine.name() + " runs on the CPU.");
            }
            return engine;
        }
        if (arguments.library != null) {
            load(arguments.library);
            if (arguments.gpu) {
                load(new File(arguments.library.getParentFile(), GPU_LIBRARY));
            }
        }
        return new InterpreterEngine(arguments.gpu ? InterpreterEngine.Gpu.ALWAYS : InterpreterEngine.Gpu.NEVER);
    }

    private static void load(File library) {
        try {
            // By its path: TFLite itself looks only among an installed app's libraries.
            System.load(library.getPath());
        } catch (UnsatisfiedLinkError exc) {
            throw new EngineException("Received the library " + library + ": " + exc.getMessage()
                    + ". Expected TFLite's JNI library for " + Device.abi() + ".", exc);
        }
    }
}
