package tfpwl.bench;

import java.nio.ByteBuffer;

/** What answers: the bundle, or a model in one piece. */
interface Subject {
    /** As {@link tfpwl.runtime.ProgressiveModel#predict(ByteBuffer, ByteBuffer)}. */
    void answer(ByteBuffer x, ByteBuffer answer);

    /** Bytes of the files that are loaded. */
    long filesBytes();

    void close();
}
