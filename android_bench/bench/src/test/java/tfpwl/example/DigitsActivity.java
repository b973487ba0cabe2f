package tfpwl.example;

import android.app.Activity;
import android.os.Bundle;
import android.widget.TextView;
import java.util.Arrays;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import tfpwl.TfpwlException;
import tfpwl.android.AssetBundles;
import tfpwl.android.TrimMemoryCallbacks;
import tfpwl.runtime.ModelOptions;
import tfpwl.runtime.ProgressiveModel;

/** Reads digits with the asset digits.tfpwl: the student answers at once, the teacher takes over while it does. */
public final class DigitsActivity extends Activity {
    /** Opening and answering take milliseconds, which the main thread has not. */
    private final ExecutorService worker = Executors.newSingleThreadExecutor();
    private TextView view;
    private ProgressiveModel model; // the worker's alone, as is the next one
    private TrimMemoryCallbacks memory;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        view = new TextView(this);
        setContentView(view);
        worker.execute(this::open);
    }

    private void open() {
        try {
            model = ProgressiveModel.open(AssetBundles.open(getAssets(), "digits.tfpwl", null), new ModelOptions());
            memory = new TrimMemoryCallbacks(model);
            getApplication().registerComponentCallbacks(memory);
            // Told of every new mix, and of an upgrade that failed: the last good mix answers on.
            model.addListener(change -> show(change.toString()));
            model.upgrade();
        } catch (TfpwlException exc) {
            show("No model: " + exc.getMessage());
        }
    }

    /** Call for every picture, from the main thread. */
    public void read(float[] pixels) {
        worker.execute(() -> {
            if (model != null) {
                show(model.mix() + " says " + Arrays.toString(model.predict(model.preprocess(pixels))));
            }
        });
    }

    private void show(String text) {
        runOnUiThread(() -> view.setText(text));
    }

    @Override
    protected void onDestroy() {
        worker.execute(() -> {
            if (model != null) {
                getApplication().unregisterComponentCallbacks(memory);
                model.close();
            }
        });
        worker.shutdown();
        super.onDestroy();
    }
}
