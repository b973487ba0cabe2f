package tfpwl.bench.app;

import android.app.Activity;
import android.os.Bundle;
import android.view.WindowManager;
import android.widget.TextView;
import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;
import tfpwl.bench.Main;

/**
 * The benchmark in an app's process in the foreground, which a phone schedules otherwise than a shell's.
 *
 * <p>{@code am start -W -S -n tfpwl.bench/.app.BenchActivity --es args '--bundle … --out result.json'}
 */
public final class BenchActivity extends Activity {
    private static final String ARGUMENTS = "args";

    @Override
    protected void onCreate(@Nullable Bundle state) {
        super.onCreate(state);
        // A screen that goes dark takes the process out of the foreground.
        getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        TextView view = new TextView(this);
        setContentView(view);
        String text = getIntent().getStringExtra(ARGUMENTS);
        final String[] words = split(text == null ? "" : text);
        final AppPlatform platform = new AppPlatform(this, view);
        // A rotation makes the activity again, not the measurement.
        if (state == null) {
            new Thread(new Runnable() {
                @Override
                public void run() {
                    Main.run(words, platform);
                }
            }, "tfpwl-bench").start();
        }
    }

    @NotNull
    static String[] split(@NotNull String text) {
        String trimmed = text.trim();
        return trimmed.isEmpty() ? new String[0] : trimmed.split("\\s+");
    }
}
