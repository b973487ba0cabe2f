package tfpwl.runtime;

import java.io.Closeable;
import java.io.File;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;
import tfpwl.EngineException;
import tfpwl.Mix;
import tfpwl.TfpwlException;
import tfpwl.bundle.Bundle;
import tfpwl.bundle.InputSpec;
import tfpwl.bundle.Manifest;

/**
 * A model that answers at once with its student and grows into its teacher while it keeps answering.
 *
 * <p>It answers with the mix of the moment, from any number of threads. The chain of loaded files is never changed,
 * only replaced by one assignment, so that every answer comes from exactly one mix and never waits for a load. A group
 * that fails to load leaves the last good mix answering.
 *
 * <pre>{@code
 * ProgressiveModel model = ProgressiveModel.open(new File(folder, "digits.tfpwl"));
 * float[] first = model.predict(x);   // the student answers
 * model.upgrade();                    // in the background
 * }</pre>
 */
public final class ProgressiveModel implements Closeable {
    private static final Logger LOGGER = Logger.getLogger("tfpwl.runtime");
    private static final long IDLE_SECONDS = 5;
    /** On Android this is nice 10, that of background work: answers go first. */
    private static final int LOADER_PRIORITY = Thread.NORM_PRIORITY - 1;

    private final Bundle bundle;
    private final Switcher switcher;
    private final Predictor predictor;
    @Nullable private final ThreadPoolExecutor ownExecutor;

    private ProgressiveModel(Bundle bundle, Engine engine, ModelOptions options) {
        Manifest manifest = bundle.manifest();
        TfliteLevel.check(manifest.requiredTflite(), engine.tfliteLevel());
        this.bundle = bundle;
        int threads = options.threads == 0 ? manifest.threads() : options.threads;
        // Native threads get the priority of the one that makes them, and the engine's own would keep it for answers.
        this.ownExecutor = options.executor == null
                ? makeExecutor(threads == 1 ? LOADER_PRIORITY : Thread.NORM_PRIORITY) : null;
        Executor executor = options.executor == null ? ownExecutor : options.executor;
        this.switcher = new Switcher(new ChainLoader(bundle, engine, threads, options.inPlace),
                Mix.allStudent(manifest.numGroups()), executor);
        this.predictor = new Predictor(switcher, manifest.input().tensor, manifest.output().tensor);
    }

    private static ThreadPoolExecutor makeExecutor(final int priority) {
        ThreadPoolExecutor executor = new ThreadPoolExecutor(1, 1, IDLE_SECONDS, TimeUnit.SECONDS,
                new LinkedBlockingQueue<Runnable>(), new ThreadFactory() {
                    @Override
                    public Thread newThread(@NotNull Runnable work) {
                        Thread thread = new Thread(work, "tfpwl-upgrade");
                        thread.setPriority(priority);
                        thread.setDaemon(true);
                        return thread;
                    }
                });
        executor.allowCoreThreadTimeOut(true);
        return executor;
    }

    /**
     * Open a bundle's folder or packed file with the defaults.
     *
     * @throws TfpwlException see {@link #open(File, ModelOptions)}
     */
    @NotNull
    public static ProgressiveModel open(@NotNull File path) {
        return open(path, new ModelOptions());
    }

    /**
     * Open a bundle and load its student; no teacher file is read.
     *
     * @param path the bundle's folder, or the file that {@code tfpwl pack} made of it
     * @throws tfpwl.BundleException the bundle is missing, broken, not signed as demanded, or needs a newer runtime
     *     (its subclasses say which)
     * @throws EngineException the engine cannot load the student
     */
    @NotNull
    public static ProgressiveModel open(@NotNull File path, @NotNull ModelOptions options) {
        return load(Bundle.open(path, options.publicKey), options);
    }

    /**
     * Load the student of an open bundle.
     *
     * @throws tfpwl.SignatureException {@link ModelOptions#publicKey} demands a signature that is missing or wrong
     * @throws TfpwlException see {@link #open(File, ModelOptions)}
     */
    @NotNull
    public static ProgressiveModel open(@NotNull Bundle bundle, @NotNull ModelOptions options) {
        if (options.publicKey != null) {
            bundle.checkSignature(options.publicKey);
        }
        return load(bundle, options);
    }

    private static ProgressiveModel load(Bundle bundle, ModelOptions options) {
        Engine engine = options.engine;
        if (engine == null) {
            boolean wanted = bundle.manifest().delegate().equals("gpu");
            engine = new InterpreterEngine(
                    wanted ? InterpreterEngine.Gpu.IF_PRESENT : InterpreterEngine.Gpu.NEVER);
        }
        return new ProgressiveModel(bundle, engine, options);
    }

    /**
     * The answer of the mix of the moment.
     *
     * @param x model input of a float32 model, row by row; {@link #preprocess} makes it from raw input
     * @return the output, row by row; it belongs to the caller
     * @throws IllegalArgumentException another number of elements, or the model takes uint8
     * @throws EngineException the engine failed
     * @throws tfpwl.ClosedException the model is closed
     */
    @NotNull
    public float[] predict(@NotNull float[] x) {
        return predictor.predict(x);
    }

    /**
     * The answer of the mix of the moment for a model that takes uint8 images.
     *
     * @param image row by row; the bytes count as 0 to 255
     * @throws IllegalArgumentException another number of elements, or the model takes float32
     * @throws EngineException the engine failed
     * @throws tfpwl.ClosedException the model is closed
     */
    @NotNull
    public float[] predict(@NotNull byte[] image) {
        return predictor.predict(image);
    }

    /**
     * The same without new arrays, for an app that answers at every frame.
     *
     * @param x the bytes of the input in native order, from the buffer's position on; the position stays
     * @param answer takes the bytes of the output in native order, from its position on; the position stays
     * @throws IllegalArgumentException {@code x} has not exactly the input's bytes left, or {@code answer} too few
     * @throws EngineException the engine failed
     * @throws tfpwl.ClosedException the model is closed
     */
    public void predict(@NotNull ByteBuffer x, @NotNull ByteBuffer answer) {
        predictor.predict(x, answer);
    }

    /**
     * Model input from raw input, as the manifest says: {@code (raw * scale - mean) / std}.
     *
     * @throws IllegalArgumentException another number of elements
     */
    @NotNull
    public float[] preprocess(@NotNull float[] raw) {
        InputSpec input = bundle.manifest().input();
        if (raw.length != input.tensor.numElements()) {
            throw new IllegalArgumentException("Received " + raw.length + " numbers; expected "
                    + input.tensor.numElements() + ".");
        }
        return input.preprocess.apply(raw);
    }

    @NotNull
    public Bundle bundle() {
        return bundle;
    }

    /** Which side answers in each group; after {@link #close}, the last one. */
    @NotNull
    public Mix mix() {
        return switcher.chain.mix;
    }

    @NotNull
    public State state() {
        return switcher.state;
    }

    /** Why the last change of mix failed; null once another one begins. */
    @Nullable
    public TfpwlException lastError() {
        return switcher.lastError;
    }

    /** Bytes of the files that are loaded at the moment (what an engine adds is not in it). */
    public long residentBytes() {
        return switcher.chain.residentBytes();
    }

    /** Tell {@code listener} of every new mix or state from now on. */
    public void addListener(@NotNull ChangeListener listener) {
        switcher.listeners.add(listener);
    }

    public void removeListener(@NotNull ChangeListener listener) {
        switcher.listeners.remove(listener);
    }

    /** Replace student groups by teacher groups in the background, in the manifest's order, up to all-teacher. */
    public void upgrade() {
        upgrade(null, null);
    }

    /**
     * Replace student groups by teacher groups in the background, one after another; answers go on meanwhile.
     *
     * <p>An upgrade under way is replaced by this one, unless it is the same. A failure ends it: the last good mix goes
     * on answering, {@link #lastError} says why, and another upgrade tries again from there.
     *
     * @param order in which groups change sides; the manifest's when null
     * @param until a mix on the way to stop at; all-teacher when null
     * @throws IllegalArgumentException {@code order} is no permutation of the groups, or {@code until} not on the way
     * @throws tfpwl.ClosedException the model is closed
     */
    public void upgrade(@Nullable int[] order, @Nullable Mix until) {
        switcher.start(upgradePlan(order, until), "upgrade " + Arrays.toString(order) + " " + until, true);
    }

    /**
     * The same in the calling thread, which should not be the main one.
     *
     * @throws TfpwlException what made the upgrade fail
     */
    public void upgradeNow(@Nullable int[] order, @Nullable Mix until) {
        switcher.change(upgradePlan(order, until), true);
    }

    private Switcher.Planner upgradePlan(@Nullable final int[] order, @Nullable final Mix until) {
        return new Switcher.Planner() {
            @Override
            public List<Mix> plan(Mix start) {
                return Plan.upgrade(bundle.manifest(), start, order, until);
            }
        };
    }

    /** Go back to all-student in the background and give the teacher's memory back; cancels an upgrade under way. */
    public void downgrade() {
        Mix student = Mix.allStudent(bundle.manifest().numGroups());
        switcher.start(downgradePlan(student), "downgrade " + student, false);
    }

    /**
     * Go back to {@code mix} in the calling thread and give the teacher's memory back; an upgrade under way is
     * cancelled.
     *
     * <p>Waits for the load that is under way (of one group at most), then loads the student files that are missing.
     * Answers go on meanwhile. Memory that an answer still uses is given back when it ends.
     *
     * @param mix with no teacher group that is not answering now
     * @throws IllegalArgumentException another number of groups, or more of the teacher than answers now
     * @throws tfpwl.IntegrityException a student file is no longer what it was; the mix stays
     * @throws EngineException a student file cannot be loaded; the mix stays
     * @throws tfpwl.ClosedException the model is closed
     */
    public void downgradeNow(@NotNull Mix mix) {
        switcher.change(downgradePlan(mix), false);
    }

    private Switcher.Planner downgradePlan(final Mix target) {
        return new Switcher.Planner() {
            @Override
            public List<Mix> plan(Mix start) {
                return Switcher.only(Plan.downgrade(bundle.manifest(), start, target));
            }
        };
    }

    /**
     * Give memory back as Android asks for it; returns at once and may be called from the main thread.
     *
     * <p>{@code RUNNING_LOW} stops an upgrade under way. {@code RUNNING_CRITICAL} and {@code BACKGROUND} and all above
     * go back to the student. The rest, {@code UI_HIDDEN} among it, changes nothing.
     *
     * @param level of {@code ComponentCallbacks2}
     */
    public void onTrimMemory(int level) {
        TrimLevel wanted = TrimLevel.of(level);
        if (wanted == TrimLevel.STOP_UPGRADE) {
            switcher.stop();
        } else if (wanted == TrimLevel.STUDENT_ONLY && state() != State.CLOSED
                && (state() == State.UPGRADING || !mix().equals(Mix.allStudent(mix().length())))) {
            try {
                downgrade();
            } catch (EngineException exc) {
                // Closed since the line above, or the app's executor is shut: an error here would end the app.
                LOGGER.log(Level.INFO, "Nothing was given back: {0}", exc.getMessage());
            }
        }
    }

    /**
     * Wait until no change of mix is under way; {@link #state} then says how it ended.
     *
     * @return false when the time was over first
     */
    public boolean await(long timeout, @NotNull TimeUnit unit) throws InterruptedException {
        return switcher.await(unit.toMillis(timeout));
    }

    /** Cancel an upgrade, wait for the load under way, and give all memory back. May be called twice. */
    @Override
    public void close() {
        switcher.close();
        if (ownExecutor != null) {
            ownExecutor.shutdown();
        }
    }
}
