package tfpwl.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import tfpwl.ClosedException;
import tfpwl.EngineException;
import tfpwl.Mix;
import tfpwl.OutOfMemoryException;
import tfpwl.TfpwlException;
import tfpwl.bundle.Fixtures;

/** Upgrades, downgrades, failures and closing, with a real engine whose loads can be held up. */
class SwitchingTest {
    private static final float[] X = Fixtures.inputs()[0];
    private static final List<String> WAY = Arrays.asList("SSS", "TSS", "TTS", "TTT");

    private final GatedEngine engine = new GatedEngine();
    private final List<String> changes = Collections.synchronizedList(new ArrayList<>());
    private ProgressiveModel model;

    @BeforeEach
    void open() {
        model = open(new ModelOptions());
    }

    private ProgressiveModel open(ModelOptions options) {
        ProgressiveModel opened = ProgressiveModel.open(Fixtures.bundle("fp32"), options.engine(engine));
        opened.addListener(change -> changes.add(change.state + " " + change.mix));
        return opened;
    }

    @AfterEach
    void nothingStaysBehind() {
        engine.failure = null;
        engine.open();
        model.close();
        assertEquals(0, engine.openGroups.get());
        assertEquals(0, engine.openBindings.get());
    }

    private void await() throws InterruptedException {
        assertTrue(model.await(60, TimeUnit.SECONDS));
    }

    private void assertAnswersAs(String mix) {
        assertEquals(mix, model.mix().toString());
        float[] expected = Fixtures.table(Fixtures.answers("fp32").get(mix))[0];
        assertArrayEquals(expected, model.predict(X), 1e-5f);
    }

    @Test
    void openingLoadsTheStudentAlone() {
        assertEquals(State.READY, model.state());
        assertEquals(3, engine.loads.get());
        assertEquals(model.bundle().manifest().mixBytes(Mix.of("SSS")), model.residentBytes());
        assertAnswersAs("SSS");
    }

    @Test
    void anUpgradeWalksThePathAndTellsOfEachStep() throws Exception {
        model.upgrade();
        await();
        assertEquals(State.COMPLETE, model.state());
        assertEquals(Arrays.asList("UPGRADING SSS", "UPGRADING TSS", "UPGRADING TTS", "COMPLETE TTT"), changes);
        assertAnswersAs("TTT");
        // What the teacher does not need was given back.
        assertEquals(3, engine.openGroups.get());
    }

    @Test
    void answersGoOnWhileALoadHangs() throws Exception {
        engine.hold();
        model.upgrade();
        engine.awaitLoad();
        assertEquals(State.UPGRADING, model.state());
        assertAnswersAs("SSS");
        assertFalse(model.await(1, TimeUnit.MILLISECONDS));
        engine.open();
        await();
        assertAnswersAs("TTT");
    }

    @Test
    void anUpgradeStopsAtTheMixAskedForAndGoesOnFromThere() {
        model.upgradeNow(null, Mix.of("TSS"));
        assertEquals(State.READY, model.state());
        assertAnswersAs("TSS");
        model.upgradeNow(new int[] {2, 1, 0}, Mix.of("TST"));
        assertAnswersAs("TST");
        model.upgradeNow(null, null);
        assertAnswersAs("TTT");
    }

    @Test
    void anOrderOrMixThatLeadsNowhereIsRefusedAndNothingChanges() {
        assertThrows(IllegalArgumentException.class, () -> model.upgrade(new int[] {0, 0, 1}, null));
        assertThrows(IllegalArgumentException.class, () -> model.upgrade(new int[] {0, 1}, null));
        assertThrows(IllegalArgumentException.class, () -> model.upgrade(null, Mix.of("TT")));
        assertEquals("Received until='SST'; order [0, 1, 2] leads through [SSS, TSS, TTS, TTT].",
                assertThrows(IllegalArgumentException.class, () -> model.upgrade(null, Mix.of("SST"))).getMessage());
        assertThrows(IllegalArgumentException.class, () -> model.downgradeNow(Mix.of("TSS")));
        assertEquals(State.READY, model.state());
        assertEquals(Collections.emptyList(), changes);
    }

    @Test
    void theSameUpgradeTwiceIsOne() throws Exception {
        engine.hold();
        model.upgrade();
        engine.awaitLoad();
        model.upgrade();
        engine.open();
        await();
        assertEquals(Arrays.asList("UPGRADING SSS", "UPGRADING TSS", "UPGRADING TTS", "COMPLETE TTT"), changes);
    }

    @Test
    void anotherUpgradeTakesThePlaceOfTheOneUnderWay() throws Exception {
        engine.hold();
        model.upgrade();
        engine.awaitLoad();
        model.upgrade(new int[] {2, 1, 0}, Mix.of("SST"));
        engine.open();
        await();
        assertAnswersAs("SST");
        assertEquals(State.READY, model.state());
    }

    @Test
    void aDowngradeCancelsAnUpgradeAndGivesTheMemoryBack() throws Exception {
        model.upgradeNow(null, Mix.of("TTS"));
        engine.hold();
        model.upgrade();
        engine.awaitLoad();
        model.downgrade();
        assertEquals(State.READY, model.state());
        engine.open();
        await();
        assertAnswersAs("SSS");
        assertEquals(3, engine.openGroups.get());
    }

    @Test
    void aDowngradeToAMixInBetweenKeepsItsTeacherGroups() {
        model.upgradeNow(null, null);
        int before = engine.loads.get();
        model.downgradeNow(Mix.of("TTS"));
        assertAnswersAs("TTS");
        // The student's last group and the encoder before it.
        assertEquals(before + 2, engine.loads.get());
    }

    @Test
    void aFailureLeavesTheLastGoodMixAndCanBeTriedAgain() throws Exception {
        model.upgradeNow(null, Mix.of("TSS"));
        engine.failure = new IllegalStateException("driver gone");
        model.upgrade();
        await();
        assertEquals(State.FAILED, model.state());
        TfpwlException error = model.lastError();
        assertEquals("g1.teacher.tflite: the engine '" + engine.name()
                + "' failed with java.lang.IllegalStateException: driver gone", error.getMessage());
        assertEquals(ErrorCode.ENGINE, ErrorCode.of(error));
        assertAnswersAs("TSS");
        assertEquals(4, engine.openGroups.get());
        engine.failure = null;
        model.upgradeNow(null, null);
        assertNull(model.lastError());
        assertAnswersAs("TTT");
    }

    @Test
    void runningOutOfMemoryIsAFailureLikeAnyOther() {
        engine.failure = new OutOfMemoryError("planned");
        TfpwlException error = assertThrows(OutOfMemoryException.class, () -> model.upgradeNow(null, null));
        assertTrue(error.getMessage().contains("g0.teacher.tflite: not enough memory"), error.getMessage());
        assertEquals(ErrorCode.OUT_OF_MEMORY, ErrorCode.of(error));
        assertAnswersAs("SSS");
    }

    @Test
    void aLibraryThatIsMissingIsAFailureLikeAnyOther() {
        engine.failure = new UnsatisfiedLinkError("planned");
        assertThrows(EngineException.class, () -> model.upgradeNow(null, null));
        assertAnswersAs("SSS");
    }

    @Test
    void aListenerThatFailsEndsNothing() throws Exception {
        model.addListener(change -> {
            throw new IllegalStateException("planned");
        });
        model.upgrade();
        await();
        assertEquals(State.COMPLETE, model.state());
    }

    /** As Kotlin's listeners do, which declare nothing. */
    @SuppressWarnings("unchecked")
    private static <E extends Exception> void throwUndeclared(Exception exc) throws E {
        throw (E) exc;
    }

    @Test
    void aListenerThatThrowsACheckedExceptionEndsNothing() throws Exception {
        model.addListener(change -> SwitchingTest.<RuntimeException>throwUndeclared(new IOException("planned")));
        model.upgrade();
        await();
        assertEquals(State.COMPLETE, model.state());
    }

    @Test
    void aListenerThatWaitsForAChangeOfItsOwnMakingIsStopped() throws Exception {
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        model.addListener(change -> {
            if (change.state == State.COMPLETE) {
                model.downgrade();
                try {
                    model.await(60, TimeUnit.SECONDS);
                } catch (Throwable exc) {
                    thrown.set(exc);
                }
            }
        });
        model.upgrade();
        await();
        while (!model.mix().toString().equals("SSS")) {
            await();
        }
        assertSame(IllegalStateException.class, thrown.get().getClass());
    }

    @Test
    void aListenerMayChangeTheMixAndIsToldInOrder() throws Exception {
        model.addListener(change -> {
            if (change.state == State.COMPLETE) {
                model.downgrade();
            }
        });
        model.upgrade();
        await();
        while (!model.mix().toString().equals("SSS")) {
            await();
        }
        await();
        assertEquals(Arrays.asList("UPGRADING SSS", "UPGRADING TSS", "UPGRADING TTS", "COMPLETE TTT", "READY SSS"),
                changes);
    }

    @Test
    void aListenerThatWaitsForItsOwnChangeIsStopped() throws Exception {
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        model.addListener(change -> {
            try {
                model.await(1, TimeUnit.SECONDS);
            } catch (Throwable exc) {
                thrown.compareAndSet(null, exc);
            }
        });
        model.upgrade();
        await();
        assertSame(IllegalStateException.class, thrown.get().getClass());
    }

    @Test
    void aListenerThatWasRemovedHearsNothing() {
        ChangeListener listener = change -> changes.add("again");
        model.addListener(listener);
        model.removeListener(listener);
        model.upgradeNow(null, null);
        assertFalse(changes.contains("again"));
    }

    @Test
    void anExecutorThatTakesNoWorkIsAFailure() throws Exception {
        model.close();
        model = open(new ModelOptions().executor(work -> {
            throw new RejectedExecutionException("full");
        }));
        assertEquals("The executor takes no work: full",
                assertThrows(EngineException.class, model::upgrade).getMessage());
        assertEquals(State.FAILED, model.state());
        await();
        model.onTrimMemory(80);
        assertAnswersAs("SSS");
    }

    @Test
    void anExecutorThatRunsInTheSameThreadWorksToo() {
        model.close();
        model = open(new ModelOptions().executor(Runnable::run));
        model.upgrade();
        assertAnswersAs("TTT");
    }

    @Test
    void aModelThatIsClosedDuringALoadGivesAllBack() throws Exception {
        engine.hold();
        model.upgrade();
        engine.awaitLoad();
        Thread closer = new Thread(model::close);
        closer.start();
        while (model.state() != State.CLOSED) {
            Thread.sleep(1);
        }
        assertThrows(ClosedException.class, () -> model.predict(X));
        engine.open();
        closer.join(60000);
        assertEquals(0, engine.openGroups.get());
        assertEquals("SSS", model.mix().toString());
        assertEquals("CLOSED SSS", changes.get(changes.size() - 1));
    }

    @Test
    void aClosedModelRefusesEverythingButClosing() throws Exception {
        model.close();
        model.close();
        assertEquals(State.CLOSED, model.state());
        assertEquals(0, model.residentBytes());
        assertThrows(ClosedException.class, () -> model.predict(X));
        assertThrows(ClosedException.class, model::upgrade);
        assertThrows(ClosedException.class, model::downgrade);
        assertThrows(ClosedException.class, () -> model.downgradeNow(Mix.of("SSS")));
        assertTrue(model.await(1, TimeUnit.SECONDS));
        model.onTrimMemory(80);
    }

    @Test
    void trimLevelsFollowAndroids() {
        for (int level : new int[] {5, 20}) {
            assertEquals(TrimLevel.KEEP, TrimLevel.of(level));
        }
        assertEquals(TrimLevel.STOP_UPGRADE, TrimLevel.of(10));
        for (int level : new int[] {15, 40, 60, 80}) {
            assertEquals(TrimLevel.STUDENT_ONLY, TrimLevel.of(level));
        }
    }

    @Test
    void littleMemoryStopsAnUpgradeAndKeepsTheMix() throws Exception {
        model.upgradeNow(null, Mix.of("TSS"));
        engine.hold();
        model.upgrade();
        engine.awaitLoad();
        model.onTrimMemory(10);
        assertEquals(State.READY, model.state());
        engine.open();
        await();
        assertAnswersAs("TSS");
        model.onTrimMemory(20);
        assertAnswersAs("TSS");
    }

    @Test
    void noMemoryGivesTheTeacherBackInTheBackground() throws Exception {
        model.upgradeNow(null, null);
        model.onTrimMemory(15);
        await();
        assertAnswersAs("SSS");
        int loads = engine.loads.get();
        model.onTrimMemory(80);
        await();
        assertEquals(loads, engine.loads.get());
    }

    @Test
    void theMixesAreThoseOfThePath() {
        List<String> found = new ArrayList<>();
        model.bundle().manifest().path().forEach(entry -> found.add(entry.mix.toString()));
        assertEquals(WAY, found);
    }
}
