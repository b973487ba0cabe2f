package tfpwl.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import tfpwl.Mix;
import tfpwl.bundle.Fixtures;

/** Every answer is one mix's answer, to the bit, whatever goes on beside it. */
class ConcurrencyTest {
    private static final int NUM_THREADS = 8;
    private static final int ROUNDS = 30;
    private static final List<String> PATH = Arrays.asList("SSS", "TSS", "TTS", "TTT");

    @Test
    void everyAnswerComesFromExactlyOneMix() throws Exception {
        GatedEngine engine = new GatedEngine();
        ProgressiveModel model = ProgressiveModel.open(Fixtures.bundle("fp32.tfpwl"),
                new ModelOptions().engine(engine));
        float[][] inputs = inputs();
        List<List<String>> known = knownAnswers(model, inputs);
        Set<String> all = new HashSet<>();
        known.forEach(all::addAll);
        // Different mixes and inputs must give different answers, or the test would see nothing.
        assertEquals(NUM_THREADS * PATH.size(), all.size());

        AtomicBoolean stop = new AtomicBoolean();
        List<Throwable> errors = Collections.synchronizedList(new ArrayList<>());
        List<Set<String>> seen = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < NUM_THREADS; i++) {
            Set<String> mine = new HashSet<>();
            seen.add(mine);
            float[] x = inputs[i];
            Thread thread = new Thread(() -> {
                try {
                    while (!stop.get()) {
                        mine.add(Arrays.toString(model.predict(x)));
                    }
                } catch (Throwable exc) {
                    errors.add(exc);
                }
            });
            threads.add(thread);
            thread.start();
        }
        try {
            for (int round = 0; round < ROUNDS; round++) {
                model.downgradeNow(Mix.of("SSS"));
                model.upgrade();
                assertTrue(model.await(60, TimeUnit.SECONDS));
            }
        } finally {
            stop.set(true);
            for (Thread thread : threads) {
                thread.join(60000);
            }
        }
        assertEquals(Collections.emptyList(), errors);
        Set<Integer> mixes = new HashSet<>();
        for (int i = 0; i < NUM_THREADS; i++) {
            for (String answer : seen.get(i)) {
                assertTrue(known.get(i).contains(answer), answer);
                mixes.add(known.get(i).indexOf(answer));
            }
        }
        // At least both ends of the path were seen by somebody.
        assertTrue(mixes.contains(0) && mixes.contains(PATH.size() - 1), mixes.toString());
        model.close();
        assertEquals(0, engine.openGroups.get());
        assertEquals(0, engine.openBindings.get());
    }

    /** Models are opened, asked, upgraded and closed while others ask: no answer is lost but by a clear error. */
    @Test
    void closingUnderAnswersEndsThemWithAnAnswerOrAClearError() throws Exception {
        GatedEngine engine = new GatedEngine();
        float[] x = inputs()[0];
        List<Throwable> errors = Collections.synchronizedList(new ArrayList<>());
        for (int round = 0; round < ROUNDS; round++) {
            ProgressiveModel model = ProgressiveModel.open(Fixtures.bundle("fp32"), new ModelOptions().engine(engine));
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                Thread thread = new Thread(() -> {
                    try {
                        while (true) {
                            model.predict(x);
                        }
                    } catch (tfpwl.ClosedException exc) {
                        return;
                    } catch (Throwable exc) {
                        errors.add(exc);
                    }
                });
                threads.add(thread);
                thread.start();
            }
            model.upgrade();
            Thread.sleep(round % 5);
            model.close();
            for (Thread thread : threads) {
                thread.join(60000);
            }
        }
        assertEquals(Collections.emptyList(), errors);
        assertEquals(0, engine.openGroups.get());
        assertEquals(0, engine.openBindings.get());
    }

    private static float[][] inputs() {
        Random random = new Random(1);
        float[][] found = new float[NUM_THREADS][36];
        for (float[] x : found) {
            for (int i = 0; i < x.length; i++) {
                x[i] = (float) random.nextGaussian();
            }
        }
        return found;
    }

    private static List<List<String>> knownAnswers(ProgressiveModel model, float[][] inputs) {
        List<List<String>> known = new ArrayList<>();
        for (int i = 0; i < inputs.length; i++) {
            known.add(new ArrayList<>());
        }
        for (String mix : PATH) {
            model.upgradeNow(null, Mix.of(mix));
            for (int i = 0; i < inputs.length; i++) {
                known.get(i).add(Arrays.toString(model.predict(inputs[i])));
            }
        }
        return known;
    }
}
