package tfpwl.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tfpwl.IntegrityException;
import tfpwl.bundle.Bundle;
import tfpwl.bundle.Fixtures;
import tfpwl.runtime.ModelOptions;
import tfpwl.runtime.ProgressiveModel;
import tfpwl.runtime.State;
import tfpwl.runtime.TestEngines;

/** What docs/android.md says of asset packs: the student comes with the app, the teacher's files one by one later. */
class ArrivingTeacherTest {
    @TempDir Path folder;

    private void arrive(boolean teacher) throws IOException {
        for (File file : Fixtures.bundle("fp32").listFiles()) {
            if (file.getName().contains(".teacher.") == teacher && !file.getName().equals("manifest.json")) {
                Files.copy(file.toPath(), folder.resolve(file.getName()));
            }
        }
    }

    @Test
    void aBundleOpensWithItsStudentAndUpgradesWhenTheTeacherHasArrived() throws Exception {
        Files.createFile(folder.resolve(".pulling"));
        arrive(false);
        Files.copy(Fixtures.file("bundles/fp32/manifest.json").toPath(), folder.resolve("manifest.json"));
        Bundle bundle = Bundle.open(folder.toFile());
        assertEquals(3, bundle.missing().size());
        try (ProgressiveModel model = ProgressiveModel.open(bundle, new ModelOptions().engine(TestEngines.real()))) {
            float[] x = Fixtures.inputs()[0];
            float[] student = model.predict(x);
            assertThrows(IntegrityException.class, () -> model.upgradeNow(null, null));
            assertEquals(State.FAILED, model.state());
            assertEquals(student[0], model.predict(x)[0]);
            arrive(true);
            Files.delete(folder.resolve(".pulling"));
            assertTrue(bundle.missing().isEmpty());
            model.upgradeNow(null, null);
            assertEquals(State.COMPLETE, model.state());
            assertFalse(student[0] == model.predict(x)[0]);
        }
    }

    @Test
    void withoutTheMarkAFolderThatLacksFilesIsBroken() throws Exception {
        arrive(false);
        Files.copy(Fixtures.file("bundles/fp32/manifest.json").toPath(), folder.resolve("manifest.json"));
        assertThrows(IntegrityException.class, () -> Bundle.open(folder.toFile()));
    }
}
