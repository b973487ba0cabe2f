package tfpwl.runtime;

/**
 * What to do at a level of {@code ComponentCallbacks2.onTrimMemory}; the numbers are Android's, spelled out so that the
 * runtime works where there is no Android.
 */
enum TrimLevel {
    /** Nothing to give back. */
    KEEP,
    /** Memory gets short while the app is in front: load no more, but keep what answers. */
    STOP_UPGRADE,
    /** The system is about to kill processes: give the teacher back. */
    STUDENT_ONLY;

    private static final int RUNNING_LOW = 10;
    private static final int RUNNING_CRITICAL = 15;
    private static final int UI_HIDDEN = 20;
    private static final int BACKGROUND = 40;

    static TrimLevel of(int level) {
        if (level >= BACKGROUND || (level >= RUNNING_CRITICAL && level < UI_HIDDEN)) {
            return STUDENT_ONLY;
        }
        // UI_HIDDEN comes with every look at another app; giving the teacher back then would reload it all day.
        return level >= RUNNING_LOW && level < RUNNING_CRITICAL ? STOP_UPGRADE : KEEP;
    }
}
