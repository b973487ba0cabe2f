package tfpwl.android;

import android.content.ComponentCallbacks2;
import android.content.res.Configuration;
import org.jetbrains.annotations.NotNull;
import tfpwl.runtime.ProgressiveModel;

/**
 * Hands Android's wishes for memory on to a model:
 * {@code context.registerComponentCallbacks(new TrimMemoryCallbacks(model))}; unregister before the model is closed.
 */
public final class TrimMemoryCallbacks implements ComponentCallbacks2 {
    private final ProgressiveModel model;

    public TrimMemoryCallbacks(@NotNull ProgressiveModel model) {
        this.model = model;
    }

    @Override
    public void onTrimMemory(int level) {
        model.onTrimMemory(level);
    }

    @Override
    public void onLowMemory() {
        // What devices before API 14 called; it means the same as the highest level.
        model.onTrimMemory(TRIM_MEMORY_COMPLETE);
    }

    @Override
    public void onConfigurationChanged(@NotNull Configuration configuration) {
        // A model does not depend on it.
    }
}
