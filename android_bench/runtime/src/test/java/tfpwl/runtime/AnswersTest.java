package tfpwl.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tfpwl.Mix;
import tfpwl.RuntimeTooOldException;
import tfpwl.bundle.Fixtures;

/** Answers are those of Python's runtime on the same bundles. */
class AnswersTest {
    /** fp32 kernels of two TFLite versions add in other orders; the answers are below 10. */
    private static final float TOLERANCE = 1e-5f;

    static ModelOptions options() {
        return new ModelOptions().engine(GatedEngine.real());
    }

    /** All mixes, those off the path among them: teachers first, then stop. */
    private static void goTo(ProgressiveModel model, Mix mix) {
        int[] order = new int[mix.length()];
        int count = 0;
        for (int side = 0; side < 2; side++) {
            for (int i = 0; i < order.length; i++) {
                if (mix.isTeacher(i) == (side == 0)) {
                    order[count++] = i;
                }
            }
        }
        model.upgradeNow(order, mix);
        assertEquals(mix, model.mix());
    }

    @ParameterizedTest
    @CsvSource({"fp32, true", "fp32, false", "fp32.tfpwl, true", "fp32.tfpwl, false"})
    void answersOfEveryMixEqualPythons(String name, boolean inPlace) {
        float[][] inputs = Fixtures.inputs();
        Map<String, Object> answers = Fixtures.answers("fp32");
        assertEquals(8, answers.size());
        for (Map.Entry<String, Object> expected : answers.entrySet()) {
            try (ProgressiveModel model = ProgressiveModel.open(Fixtures.bundle(name), options().inPlace(inPlace))) {
                goTo(model, Mix.of(expected.getKey()));
                float[][] rows = Fixtures.table(expected.getValue());
                for (int i = 0; i < inputs.length; i++) {
                    assertArrayEquals(rows[i], model.predict(inputs[i]), TOLERANCE, expected.getKey());
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"int8", "int8.tfpwl"})
    void int8AnswersOfEveryMixEqualPythonsToTheBit(String name) {
        assumeTrue(GatedEngine.isLiteRt(), "int8 files of today need TFLite 2.16");
        float[][] inputs = Fixtures.inputs();
        for (Map.Entry<String, Object> expected : Fixtures.answers("int8").entrySet()) {
            try (ProgressiveModel model = ProgressiveModel.open(Fixtures.bundle(name), options())) {
                goTo(model, Mix.of(expected.getKey()));
                float[][] rows = Fixtures.table(expected.getValue());
                for (int i = 0; i < inputs.length; i++) {
                    assertArrayEquals(rows[i], model.predict(inputs[i]), 0f, expected.getKey());
                }
            }
        }
    }

    @Test
    void anOlderRuntimeRefusesTheBundle() {
        assumeTrue(!GatedEngine.isLiteRt(), "the LiteRT of today runs it");
        String message = assertThrows(RuntimeTooOldException.class,
                () -> ProgressiveModel.open(Fixtures.bundle("int8"), options())).getMessage();
        assertTrue(message.startsWith("The bundle needs TFLite 2.16.0 and the app's runtime stands at 2.6.2."),
                message);
    }

    @Test
    void buffersGiveTheSameAnswerAsArraysAndKeepTheirPositions() {
        float[] x = Fixtures.inputs()[0];
        try (ProgressiveModel model = ProgressiveModel.open(Fixtures.bundle("fp32"), options())) {
            ByteBuffer input = ByteBuffer.allocate(4 * x.length + 8).order(ByteOrder.nativeOrder());
            input.position(8);
            input.slice().order(ByteOrder.nativeOrder()).asFloatBuffer().put(x);
            ByteBuffer answer = ByteBuffer.allocateDirect(20).order(ByteOrder.nativeOrder());
            answer.position(4);
            model.predict(input, answer);
            assertEquals(8, input.position());
            assertEquals(4, answer.position());
            float[] found = new float[4];
            answer.slice().order(ByteOrder.nativeOrder()).asFloatBuffer().get(found);
            assertArrayEquals(model.predict(x), found);
        }
    }

    @Test
    void preprocessingEqualsPythonsToTheBit() {
        Map<String, Object> answers = Fixtures.map(Fixtures.json("answers.json"));
        try (ProgressiveModel model = ProgressiveModel.open(Fixtures.bundle("fp32"), options())) {
            assertArrayEquals(Fixtures.floats(answers.get("preprocessed")),
                    model.preprocess(Fixtures.floats(answers.get("raw"))));
            assertThrows(IllegalArgumentException.class, () -> model.preprocess(new float[35]));
        }
    }

    @Test
    void inputOfAnotherSizeOrTypeIsRefusedWithWhatWasExpected() {
        try (ProgressiveModel model = ProgressiveModel.open(Fixtures.bundle("fp32"), options())) {
            assertEquals("Received 35 numbers of float32; expected float32 [1, 6, 6, 1], which are 36.",
                    assertThrows(IllegalArgumentException.class, () -> model.predict(new float[35])).getMessage());
            assertThrows(IllegalArgumentException.class, () -> model.predict(new byte[36]));
            ByteBuffer right = ByteBuffer.allocate(144);
            assertEquals("Received 143 bytes and room for 16; expected 144 and 16.",
                    assertThrows(IllegalArgumentException.class,
                            () -> model.predict(ByteBuffer.allocate(143), ByteBuffer.allocate(16))).getMessage());
            assertThrows(IllegalArgumentException.class, () -> model.predict(right, ByteBuffer.allocate(15)));
        }
    }

    @Test
    void theAnswerBelongsToTheCaller() {
        float[][] inputs = Fixtures.inputs();
        try (ProgressiveModel model = ProgressiveModel.open(Fixtures.bundle("fp32"), options())) {
            float[] first = model.predict(inputs[0]);
            float[] kept = first.clone();
            model.predict(inputs[1]);
            assertArrayEquals(kept, first);
        }
    }

    @Test
    void aPackThatIsDeletedGoesOnBeingTheOneThatWasOpened() throws Exception {
        File copy = File.createTempFile("tiny", ".tfpwl");
        java.nio.file.Files.copy(Fixtures.bundle("fp32.tfpwl").toPath(), copy.toPath(),
                java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        try (ProgressiveModel model = ProgressiveModel.open(copy, options())) {
            assertTrue(copy.delete());
            model.upgradeNow(null, null);
            assertEquals(State.COMPLETE, model.state());
        }
    }
}
