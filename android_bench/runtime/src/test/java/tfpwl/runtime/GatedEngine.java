package tfpwl.runtime;

import java.nio.ByteBuffer;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import tfpwl.bundle.Fixtures;
import tfpwl.bundle.TensorSpec;
import tfpwl.host.LiteRtHostEngine;

/** A real engine, whose loads can be held up, made to fail, and counted. */
final class GatedEngine implements Engine {
    /** Loaded and not closed. */
    final AtomicInteger openGroups = new AtomicInteger();
    final AtomicInteger openBindings = new AtomicInteger();
    final AtomicInteger loads = new AtomicInteger();
    volatile Throwable failure;
    volatile CountDownLatch gate = new CountDownLatch(0);
    volatile CountDownLatch waiting = new CountDownLatch(1);
    private final Engine inner = real();

    /** The engine that this run of the tests is for. */
    static Engine real() {
        if (!isLiteRt()) {
            // TFLite's own classes do so themselves; those that DJL built for the desktop leave it to DJL.
            System.loadLibrary("tensorflowlite_jni");
            return new InterpreterEngine();
        }
        return new LiteRtHostEngine((String) Fixtures.facts().get("litert_library"),
                (String) Fixtures.facts().get("tflite_level"));
    }

    static boolean isLiteRt() {
        return !"interpreter".equals(System.getProperty("tfpwl.engine"));
    }

    /** From now on loads wait until {@link #open}. */
    void hold() {
        waiting = new CountDownLatch(1);
        gate = new CountDownLatch(1);
    }

    /** Wait until a load stands before the gate. */
    void awaitLoad() throws InterruptedException {
        if (!waiting.await(60, TimeUnit.SECONDS)) {
            throw new AssertionError("no load came");
        }
    }

    void open() {
        gate.countDown();
    }

    @Override
    public String name() {
        return "gated " + inner.name();
    }

    @Override
    public String tfliteLevel() {
        return inner.tfliteLevel();
    }

    @Override
    public ByteBuffer allocate(int bytes) {
        return inner.allocate(bytes);
    }

    @Override
    public LoadedGroup load(ByteBuffer model, int threads) {
        waiting.countDown();
        try {
            // Longer than any test; a test that forgets to open the gate fails and does not hang.
            if (!gate.await(60, TimeUnit.SECONDS)) {
                throw new AssertionError("the gate stayed shut");
            }
        } catch (InterruptedException exc) {
            throw new AssertionError(exc);
        }
        Throwable planned = failure;
        if (planned instanceof Error) {
            throw (Error) planned;
        }
        if (planned instanceof RuntimeException) {
            throw (RuntimeException) planned;
        }
        LoadedGroup group = inner.load(model, threads);
        openGroups.incrementAndGet();
        loads.incrementAndGet();
        return new Counted(group);
    }

    private final class Counted implements LoadedGroup {
        private final LoadedGroup group;

        Counted(LoadedGroup group) {
            this.group = group;
        }

        @Override
        public TensorSpec input() {
            return group.input();
        }

        @Override
        public TensorSpec output() {
            return group.output();
        }

        @Override
        public Binding bind(ByteBuffer input, ByteBuffer output) {
            final Binding binding = group.bind(input, output);
            openBindings.incrementAndGet();
            return new Binding() {
                @Override
                public void run() {
                    binding.run();
                }

                @Override
                public void close() {
                    openBindings.decrementAndGet();
                    binding.close();
                }
            };
        }

        @Override
        public void close() {
            openGroups.decrementAndGet();
            group.close();
        }
    }
}
