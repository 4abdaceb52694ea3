//! Run records in; statistics, plots and one self-contained HTML out
