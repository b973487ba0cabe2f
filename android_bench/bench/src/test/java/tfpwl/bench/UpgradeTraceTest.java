package tfpwl.bench;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import tfpwl.Mix;

class UpgradeTraceTest {
    private static final List<Mix> PATH = Mix.path(new int[] {0, 1});
    private static final double[] MEDIANS = {1, 2, 4};
    private final UpgradeTrace trace = new UpgradeTrace(PATH);

    private static ByteBuffer answer(float value) {
        ByteBuffer buffer = ByteBuffer.allocate(8);
        buffer.putFloat(value).putFloat(-value).rewind();
        return buffer;
    }

    private static List<ByteBuffer> expected() {
        return Arrays.asList(answer(10), answer(20), answer(40));
    }

    @Test
    void anAnswerIsHeldAgainstTheSlowerMixOfItsStep() {
        trace.add(0, 3, 0, 0, answer(10));   // SS -> TS is under way: against 2 ms
        trace.add(3, 3, 0, 1, answer(20));
        trace.add(6, 6, 1, 1, answer(20));   // TS -> TT: against 4 ms
        trace.add(12, 5, 2, 2, answer(40));  // the last step is over: against 4 ms
        trace.add(17, 2, 0, 2, answer(40));  // two steps in one answer
        assertArrayEquals(new double[] {1.5, 1.5, 1.5, 1.25, 0.5}, trace.ratios(MEDIANS).toArray());
    }

    @Test
    void anAnswerIsWrongIfNoMixBetweenQuestionAndAnswerGivesIt() {
        trace.add(0, 1, 0, 0, answer(10));
        trace.add(1, 1, 0, 1, answer(10));
        trace.add(2, 1, 0, 1, answer(20));
        assertEquals(0, trace.numWrong(expected(), 0));
        trace.add(3, 1, 1, 1, answer(10));  // a mix that no longer answers
        trace.add(4, 1, 0, 1, answer(40));  // one that does not answer yet
        trace.add(5, 1, 2, 2, answer(39.99f));
        assertEquals(3, trace.numWrong(expected(), 0));
        assertEquals(2, trace.numWrong(expected(), 0.1f));
        trace.add(6, 1, 2, 2, answer(Float.NaN));
        assertEquals(3, trace.numWrong(expected(), 0.1f));
    }

    @Test
    void aBufferThatIsUsedAgainDoesNotChangeAnswersTakenDown() {
        ByteBuffer buffer = answer(10);
        trace.add(0, 1, 0, 0, buffer);
        buffer.putFloat(0, 99);
        trace.add(1, 1, 0, 0, buffer);
        assertEquals(1, trace.numWrong(expected(), 0));
    }

    @Test
    void fieldsSumTheTraceUp() {
        trace.lost = 2;
        trace.add(0, 1, 0, 0, answer(10));
        trace.add(1, 9, 0, 1, answer(10));
        trace.add(10, 4, 2, 2, answer(1));
        List<Times> steady = new ArrayList<>();
        steady.add(Times.of(1, 1.5, 1, 90));  // two answers of SS were asked for: 90 is not among the first two
        steady.add(Times.of(2, 50, 2));
        steady.add(Times.of(4, 4, 5, 4, 4));
        Map<String, Object> fields = trace.toFields(7, steady, trace.numWrong(expected(), 0));
        assertEquals(7, fields.get("run"));
        assertEquals(3, fields.get("num_answers"));
        assertEquals(4.0, fields.get("median_ms"));
        assertEquals(9.0, fields.get("worst_ms"));
        // 9 ms against TS, 2 ms at rest.
        assertEquals(4.5, fields.get("worst_ratio"));
        // 1.5 ms against SS's median of 1.25 ms.
        assertEquals(1.2, (double) fields.get("rest_worst_ratio"), 1e-12);
        assertEquals(1, fields.get("num_over"));
        assertEquals(2, fields.get("lost"));
        assertEquals(1, fields.get("wrong"));
        assertArrayEquals(new int[] {0, 1, 2}, (int[]) fields.get("mix_after"));
    }
}
