package tfpwl.runtime;

import java.lang.reflect.InvocationTargetException;
import org.jetbrains.annotations.Nullable;
import org.tensorflow.lite.Delegate;
import tfpwl.EngineException;

/** TFLite's GPU delegate by its name, so that an app that does without it needs no class of it. */
final class GpuDelegates {
    static final String CLASS = "org.tensorflow.lite.gpu.GpuDelegate";

    private GpuDelegates() {
    }

    /**
     * A delegate with its own defaults.
     *
     * @throws EngineException when the app or the device has none
     */
    static Delegate make() {
        Throwable reason;
        try {
            return (Delegate) Class.forName(CLASS).getConstructor().newInstance();
        } catch (InvocationTargetException exc) {
            reason = exc.getCause();
        } catch (ClassNotFoundException exc) {
            reason = exc;
        } catch (NoSuchMethodException exc) {
            reason = exc;
        } catch (InstantiationException exc) {
            reason = exc;
        } catch (IllegalAccessException exc) {
            reason = exc;
        } catch (LinkageError exc) {
            reason = exc;
        }
        throw new EngineException("There is no GPU delegate here (" + reason
                + "). Add org.tensorflow:tensorflow-lite-gpu and tensorflow-lite-gpu-api to the app.", reason);
    }

    static void close(@Nullable Delegate delegate) {
        if (delegate instanceof AutoCloseable) {
            try {
                ((AutoCloseable) delegate).close();
            } catch (Exception exc) {
                throw new EngineException("The GPU delegate cannot be closed: " + exc.getMessage(), exc);
            }
        }
    }
}
