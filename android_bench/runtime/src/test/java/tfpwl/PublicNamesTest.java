package tfpwl;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.File;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What an app can name; a change here is a change for apps. */
class PublicNamesTest {
    private static final List<String> PUBLIC = Arrays.asList(
            "tfpwl.BundleException", "tfpwl.ClosedException", "tfpwl.ContractException", "tfpwl.EngineException",
            "tfpwl.IntegrityException", "tfpwl.ManifestException", "tfpwl.Mix", "tfpwl.NoTierException",
            "tfpwl.OutOfMemoryException", "tfpwl.RuntimeTooOldException", "tfpwl.SignatureException",
            "tfpwl.TfpwlException", "tfpwl.TiersException", "tfpwl.android.AssetBundles", "tfpwl.android.Devices",
            "tfpwl.android.TrimMemoryCallbacks", "tfpwl.bundle.BoundaryEntry", "tfpwl.bundle.Bundle",
            "tfpwl.bundle.Face", "tfpwl.bundle.FileEntry", "tfpwl.bundle.GroupEntry", "tfpwl.bundle.InputSpec",
            "tfpwl.bundle.Manifest", "tfpwl.bundle.OutputSpec", "tfpwl.bundle.PathEntry", "tfpwl.bundle.Preprocess",
            "tfpwl.bundle.PublicKey", "tfpwl.bundle.Requirements", "tfpwl.bundle.TensorSpec", "tfpwl.bundle.Tier",
            "tfpwl.bundle.Tiers", "tfpwl.runtime.Change", "tfpwl.runtime.ChangeListener", "tfpwl.runtime.DeviceFacts",
            "tfpwl.runtime.Engine", "tfpwl.runtime.ErrorCode", "tfpwl.runtime.InterpreterEngine",
            "tfpwl.runtime.LoadedGroup", "tfpwl.runtime.ModelOptions", "tfpwl.runtime.ProgressiveModel",
            "tfpwl.runtime.State", "tfpwl.runtime.TierChoice");

    @Test
    void publicClassesAreThese() throws Exception {
        Path root = new File(TfpwlException.class.getProtectionDomain().getCodeSource().getLocation().toURI())
                .toPath();
        try (Stream<Path> files = Files.walk(root)) {
            assertEquals(PUBLIC, files.map(path -> root.relativize(path).toString())
                    .filter(name -> name.endsWith(".class") && !name.contains("$"))
                    .map(name -> name.substring(0, name.length() - 6).replace('/', '.'))
                    .filter(PublicNamesTest::isPublic).sorted().collect(Collectors.toList()));
        }
    }

    private static boolean isPublic(String name) {
        try {
            return Modifier.isPublic(Class.forName(name, false, PublicNamesTest.class.getClassLoader())
                    .getModifiers());
        } catch (ClassNotFoundException exc) {
            throw new AssertionError(exc);
        }
    }
}
