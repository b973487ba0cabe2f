package tfpwl.bench.host;

import tfpwl.EngineException;
import tfpwl.bench.EngineProvider;
import tfpwl.host.LiteRtHostEngine;
import tfpwl.runtime.Engine;

/** The desktop's engine: {@code -Dtfpwl.litert=…/libLiteRt.so} of Python's {@code ai-edge-litert}. */
public final class LiteRtProvider implements EngineProvider {
    private static final String LIBRARY = "tfpwl.litert";
    /** Which TFLite version the library stands for. */
    private static final String LEVEL = "tfpwl.litert.level";
    private static final String LEVEL_OF_LITERT_2 = "2.21.0";

    @Override
    public Engine make() {
        String library = System.getProperty(LIBRARY);
        if (library == null) {
            throw new EngineException("There is no engine: start java with -D" + LIBRARY + "=PATH of the libLiteRt.so"
                    + " in Python's ai_edge_litert.");
        }
        try {
            return new LiteRtHostEngine(library, System.getProperty(LEVEL, LEVEL_OF_LITERT_2));
        } catch (UnsatisfiedLinkError exc) {
            throw new EngineException("Received -D" + LIBRARY + "=" + library + ": " + exc.getMessage(), exc);
        }
    }
}
