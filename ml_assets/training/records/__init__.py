"""What is recorded with a trained model beside its estimator: where its rows come from, and answers that it gave."""
