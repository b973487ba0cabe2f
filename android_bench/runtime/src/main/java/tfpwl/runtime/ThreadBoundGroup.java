package tfpwl.runtime;

import java.nio.ByteBuffer;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadFactory;
import org.jetbrains.annotations.NotNull;
import tfpwl.EngineException;
import tfpwl.OutOfMemoryException;
import tfpwl.bundle.TensorSpec;

/**
 * A group that lives in a thread of its own: it is loaded there, runs there and is closed there.
 *
 * <p>One thread per group and not one for all: a load must not stand in the way of answers.
 */
final class ThreadBoundGroup implements LoadedGroup {
    private final ExecutorService thread = Executors.newSingleThreadExecutor(new ThreadFactory() {
        @Override
        public Thread newThread(@NotNull Runnable work) {
            Thread made = new Thread(work, "tfpwl-gpu");
            made.setDaemon(true);
            // Not that of the thread that loads: the group answers here, too.
            made.setPriority(Thread.NORM_PRIORITY);
            return made;
        }
    });
    private final LoadedGroup inner;

    ThreadBoundGroup(Callable<LoadedGroup> load) {
        boolean good = false;
        try {
            inner = call(load);
            good = true;
        } finally {
            if (!good) {
                thread.shutdown();
            }
        }
    }

    /** Run in the thread; what is thrown there is thrown here. */
    private <T> T call(Callable<T> work) {
        Future<T> result = thread.submit(work);
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return result.get();
                } catch (InterruptedException exc) {
                    // The work goes on and uses the caller's buffers, so its end must be waited for.
                    interrupted = true;
                } catch (ExecutionException exc) {
                    Throwable cause = exc.getCause();
                    if (cause instanceof EngineException) {
                        throw (EngineException) cause;
                    }
                    if (cause instanceof OutOfMemoryError) {
                        throw new OutOfMemoryException("Not enough memory (" + cause.getMessage()
                                + "). Free some and try again.", cause);
                    }
                    throw new EngineException("The engine failed with " + cause, cause);
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    @Override
    @NotNull
    public TensorSpec input() {
        return inner.input();
    }

    @Override
    @NotNull
    public TensorSpec output() {
        return inner.output();
    }

    @Override
    @NotNull
    public Binding bind(@NotNull ByteBuffer input, @NotNull ByteBuffer output) {
        final Binding binding = inner.bind(input, output);
        final Callable<Void> run = new Callable<Void>() {
            @Override
            public Void call() {
                binding.run();
                return null;
            }
        };
        return new Binding() {
            @Override
            public void run() {
                call(run);
            }

            @Override
            public void close() {
                binding.close();
            }
        };
    }

    @Override
    public void close() {
        try {
            call(new Callable<Void>() {
                @Override
                public Void call() {
                    inner.close();
                    return null;
                }
            });
        } finally {
            thread.shutdown();
        }
    }
}
