package tfpwl.runtime;

import java.util.concurrent.Executor;
import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;
import tfpwl.bundle.PublicKey;

/** How a model is opened; what is not set keeps its default. */
public final class ModelOptions {
    @Nullable Engine engine;
    @Nullable Executor executor;
    @Nullable PublicKey publicKey;
    int threads;
    boolean inPlace = true;

    /**
     * What loads and runs files; TFLite's interpreter by default, on the GPU where the manifest's
     * {@code runtime.delegate} is {@code gpu} and there is one, else on the CPU.
     */
    @NotNull
    public ModelOptions engine(@NotNull Engine chosen) {
        engine = chosen;
        return this;
    }

    /** Where upgrades run, one at a time; a thread of the model's own by default, which ends when it is idle. */
    @NotNull
    public ModelOptions executor(@NotNull Executor chosen) {
        executor = chosen;
        return this;
    }

    /** Demand a bundle that the owner of this key signed. */
    @NotNull
    public ModelOptions publicKey(@NotNull PublicKey key) {
        publicKey = key;
        return this;
    }

    /** Threads per group; the manifest's by default. */
    @NotNull
    public ModelOptions threads(int count) {
        if (count < 1) {
            throw new IllegalArgumentException("Received threads=" + count + "; expected 1 or more.");
        }
        threads = count;
        return this;
    }

    /**
     * Whether engines get maps of the files (the default) or private copies, which nobody can change after their sum
     * was checked. Maps are right for an APK and for the app's own folders; take copies for a place that others write
     * into. Copies count against the app's Java heap on Android, whose limit is often 256 MB.
     */
    @NotNull
    public ModelOptions inPlace(boolean mapped) {
        inPlace = mapped;
        return this;
    }
}
