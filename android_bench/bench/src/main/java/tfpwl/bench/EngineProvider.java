package tfpwl.bench;

import org.jetbrains.annotations.NotNull;
import tfpwl.runtime.Engine;

/** Another engine than TFLite's interpreter, found by {@link java.util.ServiceLoader}: the one of desktops. */
public interface EngineProvider {
    @NotNull
    Engine make();
}
