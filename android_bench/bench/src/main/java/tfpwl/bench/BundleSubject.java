package tfpwl.bench;

import java.io.File;
import java.nio.ByteBuffer;
import tfpwl.runtime.Engine;
import tfpwl.runtime.ModelOptions;
import tfpwl.runtime.ProgressiveModel;

/** The bundle as an app opens it. */
final class BundleSubject implements Subject {
    final ProgressiveModel model;

    /**
     * @param threads 0: as the manifest says
     */
    BundleSubject(File bundle, Engine engine, int threads) {
        ModelOptions options = new ModelOptions().engine(engine);
        model = ProgressiveModel.open(bundle, threads == 0 ? options : options.threads(threads));
    }

    @Override
    public void answer(ByteBuffer x, ByteBuffer answer) {
        model.predict(x, answer);
    }

    @Override
    public long filesBytes() {
        return model.residentBytes();
    }

    @Override
    public void close() {
        model.close();
    }
}
