package tfpwl.bundle;

import org.jetbrains.annotations.NotNull;

/** What {@code ProgressiveModel.predict} takes ({@code float32} or {@code uint8}), and how raw input gets there. */
public final class InputSpec {
    @NotNull public final TensorSpec tensor;
    @NotNull public final Preprocess preprocess;

    InputSpec(TensorSpec tensor, Preprocess preprocess) {
        this.tensor = tensor;
        this.preprocess = preprocess;
    }
}
