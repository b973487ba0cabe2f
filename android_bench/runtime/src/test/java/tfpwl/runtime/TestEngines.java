package tfpwl.runtime;

/** The engine of this run of the tests, for other packages. */
public final class TestEngines {
    private TestEngines() {
    }

    public static Engine real() {
        return GatedEngine.real();
    }
}
