package tfpwl.bundle;

import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;

/** What an answer is: float32; {@code kind} is {@code logits} or {@code probabilities}. */
public final class OutputSpec {
    @NotNull public final TensorSpec tensor;
    @NotNull public final String kind;
    /** A text file of the bundle with one class per line. */
    @Nullable public final String labels;
    /** That file's SHA-256; bundles of the first tfpwl have none. */
    @Nullable public final String labelsSha256;

    OutputSpec(TensorSpec tensor, String kind, @Nullable String labels, @Nullable String labelsSha256) {
        this.tensor = tensor;
        this.kind = kind;
        this.labels = labels;
        this.labelsSha256 = labelsSha256;
    }
}
