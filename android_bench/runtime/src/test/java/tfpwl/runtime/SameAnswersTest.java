package tfpwl.runtime;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tfpwl.EngineException;
import tfpwl.Mix;
import tfpwl.bundle.Bundle;
import tfpwl.bundle.FileEntry;
import tfpwl.bundle.Fixtures;
import tfpwl.bundle.TensorSpec;

class SameAnswersTest {
    private final Engine engine = GatedEngine.real();

    @ParameterizedTest
    @CsvSource({"fp32, SSS", "fp32, TTT", "int8, SSS", "int8, TTT"})
    void everyFileOfABundleAnswersAsItDoes(String name, String mix) {
        Bundle bundle = Bundle.open(Fixtures.bundle(name));
        for (FileEntry entry : bundle.manifest().chain(Mix.of(mix))) {
            LoadedGroup one = engine.load(bundle.read(entry, false), 1);
            LoadedGroup other = engine.load(bundle.read(entry, false), 1);
            SameAnswers.check(engine, one, other);
            one.close();
            other.close();
        }
    }

    // On both sides of 1 % of the range; the smallest answer of the file's ReLU is 0.
    @ParameterizedTest
    @CsvSource({"1, true", "1.009, true", "1.011, false", "0.989, false", "0, false", "NaN, false"})
    void floatsMayDifferByAHundredthOfTheRange(float factor, boolean alike) {
        Bundle bundle = Bundle.open(Fixtures.bundle("fp32"));
        LoadedGroup right = engine.load(bundle.read(bundle.manifest().chain(Mix.of("SSS")).get(0), false), 1);
        LoadedGroup off = new Changed(right) {
            @Override
            void change(ByteBuffer answer) {
                for (int i = 0; i < answer.capacity(); i += 4) {
                    answer.putFloat(i, factor * answer.getFloat(i));
                }
            }
        };
        check(off, right, alike);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 107})
    void oneThatIsNoNumberIsEnough(int place) {
        Bundle bundle = Bundle.open(Fixtures.bundle("fp32"));
        LoadedGroup right = engine.load(bundle.read(bundle.manifest().chain(Mix.of("SSS")).get(0), false), 1);
        LoadedGroup off = new Changed(right) {
            @Override
            void change(ByteBuffer answer) {
                answer.putFloat(4 * place, Float.NaN);
            }
        };
        check(off, right, false);
    }

    @ParameterizedTest
    @CsvSource({"0, true", "1, true", "-1, true", "100, false"})
    void wholeNumbersMayDifferByAStepOfRounding(byte step, boolean alike) {
        Bundle bundle = Bundle.open(Fixtures.bundle("int8"));
        LoadedGroup right = engine.load(bundle.read(bundle.manifest().chain(Mix.of("SSS")).get(0), false), 1);
        LoadedGroup off = new Changed(right) {
            @Override
            void change(ByteBuffer answer) {
                answer.put(0, (byte) (answer.get(0) + (answer.get(0) > 0 ? -step : step)));
            }
        };
        check(off, right, alike);
    }

    private void check(LoadedGroup off, LoadedGroup right, boolean alike) {
        if (alike) {
            SameAnswers.check(engine, off, right);
        } else {
            String message = assertThrows(EngineException.class,
                    () -> SameAnswers.check(engine, off, right)).getMessage();
            assertTrue(message.startsWith("The file does not run on the GPU: its answer there is off by "), message);
        }
        right.close();
    }

    /** A group whose answers are changed. */
    private abstract static class Changed implements LoadedGroup {
        private final LoadedGroup right;

        Changed(LoadedGroup right) {
            this.right = right;
        }

        abstract void change(ByteBuffer answer);

        @Override
        public TensorSpec input() {
            return right.input();
        }

        @Override
        public TensorSpec output() {
            return right.output();
        }

        @Override
        public Binding bind(ByteBuffer input, ByteBuffer output) {
            Binding binding = right.bind(input, output);
            return new Binding() {
                @Override
                public void run() {
                    binding.run();
                    change(output);
                }

                @Override
                public void close() {
                    binding.close();
                }
            };
        }

        @Override
        public void close() {
            right.close();
        }
    }
}
